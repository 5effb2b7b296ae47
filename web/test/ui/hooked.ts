// One hook in a component that shows nothing, for tests in a document of happy-dom.
import { h, render } from "preact";
import { act } from "preact/test-utils";
import { settle } from "../page";

export interface Hooked<P, R> {
  /** What the hook returned when it was rendered last. */
  now: () => R;
  /** How often it was rendered. */
  renders: () => number;
  /** Renders it with other props. */
  show: (props: P) => Promise<void>;
  /** Takes the component away. */
  end: () => Promise<void>;
}

/** Does `work`, and renders whatever follows from it. */
export function rendered(work: () => unknown): Promise<void> {
  return act(async () => {
    await work();
    await settle();
  });
}

export async function hooked<P, R>(hook: (props: P) => R, props: P): Promise<Hooked<P, R>> {
  const root = document.createElement("div");
  const results: R[] = [];
  const Probe = ({ given }: { given: P }) => {
    results.push(hook(given));
    return null;
  };
  const show = (given: P) => rendered(() => render(h(Probe, { given }), root));
  await show(props);
  return {
    now: () => results.at(-1) as R,
    renders: () => results.length,
    show,
    end: () => rendered(() => render(null, root)),
  };
}

/** Loads that a test ends when it likes. */
export class Loads<T> {
  readonly begun: { answer: (value: T) => Promise<void>; fail: (error: Error) => Promise<void> }[] =
    [];

  readonly load = (): Promise<T> =>
    new Promise((resolve, reject) => {
      this.begun.push({
        answer: (value) => rendered(() => resolve(value)),
        fail: (error) => rendered(() => reject(error)),
      });
    });

  /** The load number `n`, from 0. */
  number(n: number) {
    const found = this.begun[n];
    if (!found) throw new Error(`only ${this.begun.length} have begun`);
    return found;
  }
}

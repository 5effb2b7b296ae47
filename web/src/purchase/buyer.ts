// One buyer's purchase in one sale, run: presses, looks the place up, remembers the open request on
// this device so that a reload or another tab goes on with it. What it means is in ./machine.
import { effect, signal } from "@preact/signals";
import { waitMs } from "../api/backoff";
import { request } from "../api/client";
import { type Problem, problemOf } from "../api/problem";
import { query } from "../api/query";
import type { Mine, Queued, Sale } from "../api/types";
import { serverNow } from "../clock/server";
import { userId } from "../session/session";
import { load, save } from "../session/storage";
import { lookInMs } from "./looking";
import {
  type Happening,
  next,
  type Press,
  type Purchase,
  START,
  type Told,
  toldBy,
} from "./machine";

const NOT_YET_WITHIN_MS = 3_000; // a publisher's clock may lag behind the one we measured
const LATE_TRIES = 4;
const PRESS_TRIES_MAX = 12;
const PRESS_AGAIN = { firstMs: 400, mostMs: 8_000 };

export class Buyer {
  readonly purchase = signal<Purchase>(START);
  /** This page has sent a payment and waits for its answer. */
  readonly checkingOut = signal(false);
  private timer = 0;
  private looks = 0;
  private turn = 0;
  private live = false;
  private running = false;

  /**
   * @param lookup the place as the gateway knows it, null if it cannot be asked.
   * @param sale the sale as the page knows it now.
   */
  constructor(
    readonly saleId: number,
    private readonly lookup: () => Promise<Told | null>,
    private readonly sale: () => Sale | null,
  ) {}

  /** Begin with what this device remembers; the returned function stops. */
  start(): () => void {
    this.running = true;
    const stopFollowing = effect(() => this.restart(userId.value));
    addEventListener("storage", this.otherTab);
    document.addEventListener("visibilitychange", this.shown);
    return () => {
      this.running = false;
      window.clearTimeout(this.timer);
      stopFollowing();
      removeEventListener("storage", this.otherTab);
      document.removeEventListener("visibilitychange", this.shown);
    };
  }

  private restart(who: number | null): void {
    const key = this.key(who);
    const requestId = key && load(key); // before forgetting writes there
    this.happened({ kind: "forgotten" });
    if (requestId) this.happened({ kind: "adopted", requestId });
  }

  /** The feed's connection began or ended: pushes may have been missed meanwhile. */
  connected(live: boolean): void {
    this.live = live;
    if (userId.peek() !== null) void this.look();
  }

  told(news: Told): void {
    this.happened({ kind: "told", told: news });
  }

  /** Ask for one unit, again and again while the shop is too busy to say anything. */
  async press(answer: string): Promise<void> {
    if (this.purchase.peek().press.step !== "idle") return;
    const [who, turn] = [userId.peek(), ++this.turn];
    /** Still this press, of the same person: no verdict has come meanwhile. */
    const goesOn = (step: Press["step"]) =>
      turn === this.turn && who === userId.peek() && this.purchase.peek().press.step === step;
    for (let tries = 0; this.running; tries += 1) {
      this.happened({ kind: "pressed" });
      const problem = await this.send(answer);
      if (problem === null || !goesOn("sending")) return;
      if (!this.worthAnotherTry(problem, tries) || tries + 1 >= PRESS_TRIES_MAX) {
        this.happened({ kind: "refused", code: problem.code });
        return;
      }
      const wait = waitMs(tries, PRESS_AGAIN, problem.retryAfterS, Math.random());
      const untilMs = serverNow() + wait;
      this.happened({ kind: "postponed", untilMs, tries: tries + 1, code: problem.code });
      await new Promise((resume) => setTimeout(resume, wait));
      if (!goesOn("waiting")) return;
    }
  }

  private async send(answer: string): Promise<Problem | null> {
    const who = userId.peek();
    try {
      const path = `/sales/${this.saleId}/purchases`;
      const queued = await request<Queued>("POST", path, { body: { answer } });
      const requestId = queued.request_id;
      if (userId.peek() === who) this.happened({ kind: "accepted", requestId });
      else this.remember(requestId, who); // for when its owner is back
      return null;
    } catch (error) {
      return problemOf(error);
    }
  }

  /** A publisher may know of an opening or a resumption a moment later than this page. */
  private worthAnotherTry(problem: Problem, tries: number): boolean {
    const sale = this.sale();
    const justOpened =
      problem.code === "not_open" &&
      Math.abs(serverNow() - (sale?.opens_at_ms ?? 0)) < NOT_YET_WITHIN_MS;
    const resumed = problem.code === "paused" && sale?.phase !== "paused" && tries < LATE_TRIES;
    return problem.passing || justOpened || resumed;
  }

  /** Ask where we stand: cheaply over the socket if that says enough, else the API's `mine`. */
  async look(): Promise<void> {
    const { place, pending } = this.purchase.peek();
    if (this.live && pending === null && (place.state === "none" || place.state === "standby")) {
      const who = userId.peek();
      const known = await this.lookup();
      if (userId.peek() !== who) return;
      const gone = known?.state === "none" && place.state === "standby"; // `mine` says how
      if (known && !gone) {
        this.told(known);
        this.arm();
        return;
      }
    }
    await this.ask();
  }

  /** Ask `mine`, the truth. A failure is answered as its Problem; the next look may do better. */
  async ask(): Promise<Problem | null> {
    const [who, before] = [userId.peek(), this.purchase.peek()];
    if (who === null) return null;
    const { pending } = before;
    const path = `/sales/${this.saleId}/purchases/mine${query({ request_id: pending })}`;
    try {
      const mine = await request<Mine>("GET", path);
      if (userId.peek() !== who) return null;
      const unchanged = this.purchase.peek().place === before.place;
      this.told({ ...toldBy(mine), asked: pending, unchanged });
      return null;
    } catch (error) {
      return problemOf(error);
    } finally {
      this.arm();
    }
  }

  /** Give up the unit or the place on standby. Raises Problem. */
  async giveUp(): Promise<void> {
    await request<undefined>("DELETE", `/sales/${this.saleId}/purchases/mine`);
    await this.ask();
  }

  /** Move the deadline, once. Raises Problem. */
  async extend(): Promise<void> {
    const who = userId.peek();
    const path = `/sales/${this.saleId}/purchases/mine/extend`;
    const mine = await request<Mine>("POST", path);
    if (userId.peek() === who) this.told(toldBy(mine));
  }

  private happened(what: Happening): void {
    const before = this.purchase.peek();
    const after = next(before, what);
    if (after === before) return;
    if (after.place.state !== before.place.state || after.pending !== before.pending)
      this.looks = 0;
    this.purchase.value = after;
    this.remember(after.pending, userId.peek());
    this.arm();
  }

  private arm(): void {
    window.clearTimeout(this.timer);
    if (!this.running) return;
    const now = this.purchase.peek();
    const wait = lookInMs(now, this.live, serverNow(), this.looks, Math.random());
    if (wait === null) return;
    this.timer = window.setTimeout(() => {
      this.looks += 1;
      void this.look();
    }, wait);
  }

  private key(who: number | null): string | null {
    return who === null ? null : `miaosha.request.${who}.${this.saleId}`;
  }

  private remember(pending: string | null, who: number | null): void {
    const key = this.key(who);
    if (key && load(key) !== pending) save(key, pending);
  }

  private readonly otherTab = (event: StorageEvent) => {
    if (event.key === this.key(userId.peek())) {
      this.happened({ kind: "adopted", requestId: event.newValue });
    }
  };

  private readonly shown = () => {
    const waiting = this.purchase.peek().place.state !== "none";
    if (document.visibilityState === "visible" && waiting) void this.look();
  };
}

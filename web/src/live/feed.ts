// One sale as it is now: pushed over a socket, or asked for every few seconds while there is none.
// A socket that fails says nothing about the sale; the clock alone opens it.
import { effect, signal } from "@preact/signals";
import { request } from "../api/client";
import { type Problem, problemOf } from "../api/problem";
import type { Question, Sale } from "../api/types";
import { askTime, keepTime, measured, offset, steadyMs } from "../clock/server";
import type { Told } from "../purchase/machine";
import { userId } from "../session/session";
import { type Listener, LiveSocket } from "./socket";

export type Connection = "connecting" | "live" | "polling" | "offline";

const POLL_MS = 3_000;
const POLL_JITTER_MS = 3_000;
const GRACE_MS = 1_500; // a socket may take this long before it is spoken of
const NEW_SALE_MS = [300, 600, 1_100]; // a gateway knows of a new sale within a second
const COARSE_MS = 250; // a clock that may be wrong by more is asked for again at once

interface Watched {
  ok: true;
  sale: Sale;
  question?: Question | null;
}

interface NotWatched {
  ok: false;
  retry_after_s?: number;
}

export interface Hearer {
  told(news: Told): void;
  /** A connection began, or ended for longer than a moment. */
  connected(live: boolean): void;
}

export class SaleFeed implements Listener {
  readonly sale = signal<Sale | null>(null);
  readonly question = signal<Question | null>(null);
  readonly connection = signal<Connection>("connecting");
  /** Why there is nothing to show, as long as there is nothing. */
  readonly problem = signal<Problem | null>(null);
  private socket: LiveSocket | null = null;
  private timer = 0;

  constructor(
    readonly saleId: number,
    private readonly hearer: Hearer,
  ) {}

  /** Follow the sale; the returned function stops. */
  start(): () => void {
    this.socket = new LiveSocket(this, this.saleId);
    this.timer = window.setTimeout(this.poll, GRACE_MS);
    void this.fetchSale();
    const stops = [keepTime(() => this.exchangeTimes()), this.followUser(), this.followNetwork()];
    return () => {
      window.clearTimeout(this.timer);
      for (const stop of stops) stop();
      this.socket?.close();
      this.socket = null;
    };
  }

  /** The buyer's place as the gateway knows it; null if it cannot be asked now. */
  lookup(): Promise<Told | null> {
    return this.socket?.ask<Told>("lookup", { sale_id: this.saleId }) ?? Promise.resolve(null);
  }

  up(): void {
    this.connection.value = "live";
    window.clearTimeout(this.timer);
    this.hearer.connected(true);
  }

  down(): void {
    if (this.connection.value === "live") this.connection.value = "connecting";
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(this.poll, GRACE_MS * (1 + Math.random()));
  }

  event(name: string, body: unknown): void {
    if (name === "watched") this.watched(body as Watched | NotWatched);
    const about = (body as { sale_id?: number; id?: number }) ?? {};
    if (name === "sale" && about.id === this.saleId) this.show(body as Sale);
    if (about.sale_id !== this.saleId) return;
    if (name === "result") this.hearer.told(body as Told);
    if (name === "standby") this.hearer.told({ ...(body as Told), state: "standby" });
  }

  private show(sale: Sale): void {
    this.sale.value = sale;
    this.problem.value = null;
  }

  /** The answer that comes with every connect. The first ones of a page also set its clock. */
  private watched(told: Watched | NotWatched): void {
    if (!told.ok) {
      const waitMs = (told.retry_after_s ?? 0) * 1000 * (1 + Math.random());
      for (const afterMs of waitMs ? [waitMs] : NEW_SALE_MS) this.watchIn(afterMs);
      return;
    }
    const first = offset.peek() === null;
    this.take(told, this.socket?.askedMs ?? steadyMs());
    if (first || (offset.peek()?.errorMs ?? 0) > COARSE_MS) {
      this.watchIn(300);
      this.watchIn(600);
    }
  }

  private watchIn(afterMs: number): void {
    window.setTimeout(() => void this.watch(), afterMs);
  }

  private async watch(): Promise<void> {
    const sentMs = steadyMs();
    const told = await this.socket?.ask<Watched>("watch", { sale_id: this.saleId });
    if (!told) return;
    this.take(told, sentMs);
    if (!this.connected) this.up(); // the network was away for so short that the socket is still there
  }

  private take(told: Watched, sentMs: number): void {
    measured(sentMs, told.sale.server_time_ms);
    this.show(told.sale);
    if (told.question) this.question.value = told.question;
  }

  private exchangeTimes(): Promise<void> {
    return this.connected ? this.watch() : askTime();
  }

  /** Ask for the sale now. */
  again(): void {
    void this.fetchSale();
  }

  private async fetchSale(): Promise<void> {
    const before = this.sale.peek();
    try {
      const sale = await request<Sale>("GET", `/sales/${this.saleId}`);
      const overtaken = this.connected && this.sale.peek() !== before; // by a push, which is newer
      if (!overtaken) this.show(sale);
    } catch (error) {
      const problem = problemOf(error);
      if (problem.status === 404 || this.sale.value === null) this.problem.value = problem;
    }
  }

  private readonly poll = async (): Promise<void> => {
    window.clearTimeout(this.timer);
    if (this.connected || this.socket === null) return;
    if (this.connection.value === "connecting") {
      this.connection.value = navigator.onLine ? "polling" : "offline";
      this.hearer.connected(false);
      void askTime();
    }
    if (document.visibilityState === "visible" && this.connection.value === "polling") {
      await this.fetchSale();
      await this.fetchQuestion();
    }
    if (this.socket === null || this.connected) return;
    this.timer = window.setTimeout(this.poll, POLL_MS + Math.random() * POLL_JITTER_MS);
  };

  private get connected(): boolean {
    return this.connection.value === "live";
  }

  private async fetchQuestion(): Promise<void> {
    if (userId.value === null || this.question.value) return;
    try {
      this.question.value = await request<Question>("GET", `/sales/${this.saleId}/question`);
    } catch (error) {
      problemOf(error); // asked again with the next look
    }
  }

  /** Another person, another socket and another question. */
  private followUser(): () => void {
    let known = userId.peek();
    return effect(() => {
      if (userId.value === known) return;
      known = userId.value;
      this.question.value = null;
      this.socket?.renew();
    });
  }

  private followNetwork(): () => void {
    const lost = () => {
      this.connection.value = "offline";
      this.hearer.connected(false);
    };
    const back = () => {
      if (this.connection.value === "offline") this.connection.value = "connecting";
      this.down();
      void this.watch();
    };
    addEventListener("offline", lost);
    addEventListener("online", back);
    return () => {
      removeEventListener("offline", lost);
      removeEventListener("online", back);
    };
  }
}

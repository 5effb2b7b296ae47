// One Socket.IO connection that comes back by itself, with the session's token, watches one sale from
// the start, and says honestly how it stands. What arrives is handed on; nothing here knows of purchases.
import { io, type Socket } from "socket.io-client";
import { credentials } from "../api/client";
import { steadyMs } from "../clock/server";
import { session } from "../session/session";

const ACK_TIMEOUT_MS = 5_000;

/** `data` of a CONNECT_ERROR from the gateway (src/miaosha/gateway/closing.py). */
interface Refusal {
  code?: string;
  retry_after_s?: number;
}

export interface Listener {
  up(): void;
  down(): void;
  event(name: string, body: unknown): void;
}

export class LiveSocket {
  /** When it last asked to be let in: the event `watched` is the answer. On the steady clock. */
  askedMs = 0;
  private readonly socket: Socket;
  private timer = 0;

  /** @param saleId is named with every connect, so that coming back takes no question of its own. */
  constructor(
    private readonly listener: Listener,
    saleId: number,
  ) {
    this.socket = io({
      transports: ["websocket", "polling"], // one request less than asking by polling first
      tryAllTransports: true,
      reconnectionDelay: 500,
      reconnectionDelayMax: 15_000,
      timeout: 8_000,
      auth: (give) => {
        this.askedMs = steadyMs();
        give({ token: session.value?.token, watch: saleId });
      },
    });
    this.socket.on("connect", () => listener.up());
    this.socket.on("disconnect", (reason) => {
      listener.down();
      if (reason === "io server disconnect") this.reconnect(1_000);
    });
    this.socket.on("connect_error", (error: Error & { data?: Refusal }) =>
      this.refused(error.data),
    );
    this.socket.onAny((name: string, body: unknown) => listener.event(name, body));
    addEventListener("online", this.now);
  }

  /** Ask the gateway; null if there is no answer in time or it is no. */
  async ask<T>(name: string, body: object): Promise<T | null> {
    if (!this.socket.connected) return null;
    try {
      const answer: unknown = await this.socket.timeout(ACK_TIMEOUT_MS).emitWithAck(name, body);
      return (answer as { ok?: boolean }).ok ? (answer as T) : null;
    } catch {
      return null; // it is told again by whoever needs it
    }
  }

  /** Connect anew, as whoever is signed in now. */
  renew(): void {
    this.socket.disconnect();
    this.socket.connect();
  }

  close(): void {
    window.clearTimeout(this.timer);
    removeEventListener("online", this.now);
    this.socket.removeAllListeners();
    this.socket.disconnect();
  }

  private readonly now = () => {
    if (!this.socket.connected) this.socket.connect();
  };

  private refused(data: Refusal | undefined): void {
    this.listener.down();
    if (!data) return; // no connection at all: the client tries again by itself
    if (data.code === "unauthorized") credentials.refused();
    this.reconnect((data.retry_after_s ?? 1) * 1000);
  }

  private reconnect(afterMs: number): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(this.now, afterMs * (1 + Math.random()));
  }
}

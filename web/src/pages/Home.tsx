// The sales: running, coming up, past.
import { useEffect, useRef } from "preact/hooks";
import type { Sale } from "../api/types";
import { askTime, offset, serverNow } from "../clock/server";
import { useRemaining } from "../clock/useRemaining";
import { whileVisible } from "../clock/whileVisible";
import { type Key, t } from "../i18n";
import { dateTime } from "../i18n/format";
import { saleStage } from "../purchase/stage";
import { ShortCountdown } from "../ui/Countdown";
import { EmptyPage } from "../ui/EmptyPage";
import { Picture } from "../ui/Picture";
import { Price } from "../ui/Price";
import { Trouble } from "../ui/Trouble";
import { useTitle } from "../ui/useTitle";
import { useSales } from "./useSales";

const LOOK_EVERY_MS = 15_000;
const GROUPS = ["running", "next", "past"] as const;
type Group = (typeof GROUPS)[number];

function groupOf(sale: Sale): Group {
  const now = saleStage(sale, serverNow());
  if (now === "before") return "next";
  return now === "over" ? "past" : "running";
}

export function Home() {
  useTitle(t("home.title"));
  const sales = useSales();
  useEffect(() => {
    if (offset.peek() === null) void askTime();
    return whileVisible(LOOK_EVERY_MS, sales.again);
  }, [sales.again]);
  if (sales.problem && !sales.value) {
    return <Trouble problem={sales.problem} again={sales.again} />;
  }
  return (
    <>
      <div class="intro">
        <h1>{t("shop.tagline")}</h1>
      </div>
      {sales.value ? <Groups sales={sales.value} again={sales.again} /> : <Waiting />}
    </>
  );
}

function Waiting() {
  return (
    <div class="cards" aria-busy="true">
      <div class="card card-blank" />
      <div class="card card-blank" />
      <span class="visually-hidden">{t("loading")}</span>
    </div>
  );
}

function Groups({ sales, again }: { sales: Sale[]; again: () => void }) {
  if (sales.length === 0) {
    return <EmptyPage icon="clock" title={t("home.empty")} text={t("home.empty.why")} part />;
  }
  return (
    <>
      {GROUPS.map((group) => {
        const items = sales.filter((sale) => groupOf(sale) === group);
        if (items.length === 0) return null;
        return (
          <section key={group} class="group">
            <h2>{t(`home.${group}` as Key)}</h2>
            <ul class="cards">
              {items.map((sale) => (
                <SaleCard key={sale.id} sale={sale} opened={again} />
              ))}
            </ul>
          </section>
        );
      })}
    </>
  );
}

function SaleCard({ sale, opened }: { sale: Sale; opened: () => void }) {
  const { totalS } = useRemaining(sale.opens_at_ms);
  const isOpen = totalS === 0;
  const wasOpen = useRef(isOpen);
  useEffect(() => {
    if (isOpen && !wasOpen.current) opened(); // it moves to the others that run
    wasOpen.current = isOpen;
  }, [isOpen, opened]);
  const stage = saleStage(sale, serverNow());
  const shown = stage === "open" && !sale.available ? "gone" : stage;
  return (
    <li class={`card card-${shown}`}>
      <Picture
        src={sale.product.picture_url}
        small={sale.product.picture_small_url}
        name={sale.product.name}
        eager
      />
      <div class="card-text">
        <p class="card-state">
          <span class={`tag tag-${shown}`}>{t(`sale.state.${shown}`)}</span>
          {stage === "before" && <ShortCountdown untilMs={sale.opens_at_ms} />}
        </p>
        <h3>
          <a href={`/sales/${sale.id}`} class="card-link">
            {sale.title}
          </a>
        </h3>
        {sale.product.name !== sale.title && <p class="quiet small">{sale.product.name}</p>}
        <div class="card-foot">
          <Price sale={sale} />
          <span class="quiet small">{t("sale.units", { n: sale.stock })}</span>
        </div>
        <p class="quiet small">{when(sale, stage)}</p>
      </div>
    </li>
  );
}

function when(sale: Sale, stage: ReturnType<typeof saleStage>): string {
  if (stage === "before") return t("sale.opens", { time: dateTime(sale.opens_at_ms) });
  if (stage === "over") return t("sale.ended", { time: dateTime(sale.closes_at_ms) });
  return t("sale.opened", { time: dateTime(sale.closes_at_ms) });
}

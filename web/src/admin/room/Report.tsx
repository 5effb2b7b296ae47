// How a sale went, on one page that prints.
import { number } from "../../i18n/format";
import { useLoad } from "../../ui/useLoad";
import { codedMoney, percent, preciseTime, span, time, zone } from "../format";
import { type Report, server } from "../server";
import { t } from "../text";
import { type Fact, Facts } from "../ui/Facts";
import { NotYet } from "../ui/Note";
import { PhaseBadge } from "../ui/PhaseBadge";
import { Findings, verdictText } from "./Audit";

export function ReportPage({ id }: { id: number }) {
  const { value: report, problem, again } = useLoad(() => server.report(id), id);
  if (!report) return <NotYet problem={problem} onRetry={again} />;
  return <ReportView report={report} />;
}

function outcomes({ books, milestones, ledger }: Report): Fact[] {
  return [
    [t("report.sold"), t("report.of", { n: ledger.sold, of: ledger.stock })],
    [t("report.rescued"), number(books.rescued)],
    [t("report.promoted"), number(books.promoted)],
    [t("report.expired"), number(books.expired)],
    [t("report.declined"), number(books.declined)],
    [t("report.buyers"), number(milestones.buyers)],
    [t("report.refused"), number(milestones.attempts.refused ?? 0)],
    [t("report.refunded"), number(milestones.refunded)],
  ];
}

function times({ sale: { sale }, milestones: m, server_time_ms: now }: Report): Fact[] {
  const since = (ms: number | null) =>
    ms === null ? "–" : `${preciseTime(ms)}  (+${span(Math.max(0, ms - sale.opens_at_ms))})`;
  return [
    [t(now < sale.opens_at_ms ? "sales.opens" : "report.opened"), preciseTime(sale.opens_at_ms)],
    [t("report.first_hold"), since(m.first_hold_at_ms)],
    [t("report.gone"), since(m.gone_at_ms)],
    [t("report.first_paid"), since(m.first_paid_at_ms)],
    [t("report.last_promoted"), since(m.last_promoted_at_ms)],
    [t("report.last_paid"), since(m.last_paid_at_ms)],
    [t(now < sale.closes_at_ms ? "sales.closes" : "report.closed"), preciseTime(sale.closes_at_ms)],
    [t("report.settled"), since(m.settled_at_ms)],
  ];
}

function checked({ audit }: Report): Fact[] {
  const counts = audit?.counts ?? {};
  const rows: [string, string][] = [
    ["requests", t("report.requests")],
    ["batches", t("report.batches")],
    ["holds", t("report.holds")],
    ["orders", t("report.orders")],
    ["mails", t("report.mails")],
  ];
  return rows.flatMap(([name, label]): Fact[] =>
    counts[name] === undefined ? [] : [[label, number(counts[name])]],
  );
}

function Part({ head, rows }: { head: string; rows: Fact[] }) {
  return (
    <section>
      <h2>{head}</h2>
      <Facts rows={rows} />
    </section>
  );
}

function ReportView({ report }: { report: Report }) {
  const { sale, ledger, milestones, audit } = report;
  return (
    <article class="panel report">
      <header class="head">
        <div>
          <p class="quiet small">{t("report.title")}</p>
          <h1>{sale.sale.title}</h1>
          <p class="quiet">
            {sale.sale.product.name} · {codedMoney(sale.sale.price)}{" "}
            <PhaseBadge phase={sale.phase} />
          </p>
        </div>
        <div class="row no-print">
          <a class="button" href={`/admin/sales/${sale.id}`}>
            {t("sales.room")}
          </a>
          <button type="button" class="button primary" onClick={() => print()}>
            {t("report.print")}
          </button>
        </div>
      </header>
      {sale.phase !== "settled" && <p class="note warn">{t("report.so_far")}</p>}
      <p class="headline">
        <strong>{t("report.headline", { n: ledger.sold, of: ledger.stock })}</strong>
        <span>
          {percent(ledger.sold, ledger.stock)} ·{" "}
          {codedMoney({ amount: milestones.amount, currency: sale.sale.price.currency })}
        </span>
      </p>
      <p class={`badge big ${audit ? (audit.clean ? "good" : "bad") : ""}`}>
        {audit ? verdictText(audit) : t("audit.none")}
        {audit && <span class="small">{time(audit.checked_at_ms)}</span>}
      </p>
      {audit && <Findings verdict={audit} />}
      <div class="two even">
        <Part head={t("report.outcomes")} rows={outcomes(report)} />
        <Part head={t("report.times")} rows={times(report)} />
      </div>
      {audit && <Part head={t("report.checked")} rows={checked(report)} />}
      <p class="hint">
        {t("times_in", { zone: zone(sale.sale.opens_at_ms) })}{" "}
        {t("report.made", { time: time(report.server_time_ms) })}
      </p>
    </article>
  );
}

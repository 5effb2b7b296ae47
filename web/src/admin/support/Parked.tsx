// Messages and mails that were given up on, and their way back.
import { useState } from "preact/hooks";
import { number } from "../../i18n/format";
import { useLoad } from "../../ui/useLoad";
import { time } from "../format";
import { type ParkedItem, server } from "../server";
import { type Key, t } from "../text";
import { Dialog } from "../ui/Dialog";
import { Empty, Loading, ProblemNote } from "../ui/Note";
import { Table } from "../ui/Table";

/** One of them, or all mails. */
type Asked = ParkedItem | "mails";

export function Parked() {
  const { value: parked, problem, again } = useLoad(server.parked);
  const [asked, setAsked] = useState<Asked | null>(null);
  return (
    <>
      <header class="head">
        <h1>{t("parked.title")}</h1>
        <div class="row">
          {parked && parked.mails > 1 && (
            <button type="button" class="button" onClick={() => setAsked("mails")}>
              {t("parked.redrive_mails", { n: number(parked.mails) })}
            </button>
          )}
          <button type="button" class="button" onClick={again}>
            {t("refresh")}
          </button>
        </div>
      </header>
      <p class="quiet">{t("parked.hint")}</p>
      <ProblemNote problem={problem} onRetry={again} />
      {!parked && !problem && <Loading />}
      {parked?.items.length === 0 && <Empty>{t("parked.none")}</Empty>}
      {parked && parked.items.length > 0 && <List items={parked.items} onAsk={setAsked} />}
      {parked && parked.items.length < parked.mails + parked.messages && (
        <p class="quiet small">
          {t("parked.more", { shown: parked.items.length, of: parked.mails + parked.messages })}
        </p>
      )}
      {asked && (
        <Dialog
          title={t(asked === "mails" ? "parked.mails_title" : titleOf(asked))}
          action={t(asked === "mails" || asked.mail ? "parked.send" : "parked.redrive")}
          onConfirm={async () => {
            if (asked === "mails") await server.redriveMails();
            else await server.redrive(asked.id);
            again();
          }}
          onClose={() => setAsked(null)}
        >
          <p>{t(asked === "mails" || asked.mail ? "parked.send_why" : "parked.redrive_why")}</p>
          <p class="quiet small">{t("lever.recorded")}</p>
        </Dialog>
      )}
    </>
  );
}

const titleOf = (item: ParkedItem): Key =>
  item.mail ? "parked.mail_title" : "parked.redrive_title";

function List({ items, onAsk }: { items: ParkedItem[]; onAsk: (item: ParkedItem) => void }) {
  return (
    <Table
      caption={t("parked.title")}
      head={[
        t("parked.what"),
        t("parked.reason"),
        t("parked.since"),
        t("parked.about"),
        t("parked.do"),
      ]}
    >
      {items.map((item) => (
        <tr key={item.id}>
          <th scope="row" class={item.mail ? "" : "code"}>
            {item.mail ? t(`mail.${item.source}` as Key) : item.source}
            <span class="quiet small block">{t(`parked.kind_${item.kind}`)}</span>
          </th>
          <td>{item.reason}</td>
          <td>{time(item.parked_at_ms)}</td>
          <td>
            <About item={item} />
          </td>
          <td>
            <button type="button" class="button small" onClick={() => onAsk(item)}>
              {t(item.mail ? "parked.send" : "parked.redrive")}
            </button>
          </td>
        </tr>
      ))}
    </Table>
  );
}

/** Whose mail it is, or how a message begins. */
function About({ item: { mail, message } }: { item: ParkedItem }) {
  if (mail) {
    return (
      <>
        <a href={`/admin/people/${mail.user_id}`}>{mail.email || mail.user_id}</a>
        <span class="quiet small block">
          <a href={`/admin/sales/${mail.sale_id}`}>{t("parked.sale", { n: mail.sale_id })}</a>
          {" · "}
          {t("parked.tries", { n: mail.attempts })}
        </span>
      </>
    );
  }
  return (
    <>
      <span class="code preview">{message?.preview}</span>
      <span class="quiet small block">{t("parked.bytes", { n: number(message?.size ?? 0) })}</span>
    </>
  );
}

// What admins and the system did, newest first.
import { place } from "../../router";
import { usePages } from "../../ui/usePages";
import { time, zone } from "../format";
import { server } from "../server";
import { t } from "../text";
import { Empty } from "../ui/Note";
import { Pager } from "../ui/Pager";
import { Table } from "../ui/Table";
import { action, whoOf } from "./entry";

export function Trail() {
  const subject = new URLSearchParams(place.value.query).get("subject");
  const pages = usePages((cursor) => server.trail(subject, cursor), subject);
  return (
    <>
      <header class="head">
        <div>
          <h1>{t("trail.title")}</h1>
          {subject && (
            <p class="quiet">
              {t("trail.only", { subject })} <a href="/admin/trail">{t("trail.all")}</a>
            </p>
          )}
        </div>
      </header>
      {!pages.fresh && pages.items.length === 0 && <Empty>{t("trail.none")}</Empty>}
      {pages.items.length > 0 && (
        <Table
          caption={t("trail.title")}
          head={[
            t("trail.when"),
            t("trail.who"),
            t("trail.what"),
            t("trail.about"),
            t("trail.detail"),
          ]}
        >
          {pages.items.map((entry) => (
            <tr key={entry.id}>
              <th scope="row">{time(entry.at_ms)}</th>
              <td>{whoOf(entry)}</td>
              <td>{action(entry)}</td>
              <td>
                <a href={`/admin/trail?subject=${encodeURIComponent(entry.subject)}`}>
                  {entry.subject}
                </a>
              </td>
              <td class="code preview">{detailText(entry.detail)}</td>
            </tr>
          ))}
        </Table>
      )}
      <Pager pages={pages} />
      <p class="hint">{t("times_in", { zone: zone(Date.now()) })}</p>
    </>
  );
}

function detailText(detail: Record<string, unknown>): string {
  return Object.entries(detail)
    .map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");
}

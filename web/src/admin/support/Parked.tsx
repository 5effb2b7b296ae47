// Messages nobody could handle, and their return to the queue.
import { useState } from "preact/hooks";
import { number, time } from "../format";
import { useLoaded } from "../hooks";
import { type ParkedMessage, server } from "../server";
import { t } from "../text";
import { Dialog } from "../ui/Dialog";
import { Empty, Loading, ProblemNote } from "../ui/Note";
import { Table } from "../ui/Table";

export function Parked() {
  const { data, problem, reload } = useLoaded(server.parked);
  const [asked, setAsked] = useState<ParkedMessage | null>(null);
  return (
    <>
      <header class="head">
        <h1>{t("parked.title")}</h1>
        <button type="button" class="button" onClick={reload}>
          {t("refresh")}
        </button>
      </header>
      <p class="quiet">{t("parked.hint")}</p>
      <ProblemNote problem={problem} onRetry={reload} />
      {!data && !problem && <Loading />}
      {data?.items.length === 0 && <Empty>{t("parked.none")}</Empty>}
      {data && data.items.length > 0 && (
        <Table
          caption={t("parked.title")}
          head={[
            t("parked.queue"),
            t("parked.reason"),
            t("parked.since"),
            t("parked.size"),
            t("parked.preview"),
            t("parked.do"),
          ]}
          numeric={[3]}
        >
          {data.items.map((message) => (
            <tr key={message.id}>
              <th scope="row" class="code">
                {message.queue}
              </th>
              <td>{message.reason}</td>
              <td>{time(message.parked_at_ms)}</td>
              <td class="number">{number(message.size)}</td>
              <td class="code preview">{message.preview}</td>
              <td>
                <button type="button" class="button small" onClick={() => setAsked(message)}>
                  {t("parked.redrive")}
                </button>
              </td>
            </tr>
          ))}
        </Table>
      )}
      {asked && (
        <Dialog
          title={t("parked.redrive_title")}
          action={t("parked.redrive")}
          onConfirm={async () => {
            await server.redrive(asked.id);
            reload();
          }}
          onClose={() => setAsked(null)}
        >
          <p>{t("parked.redrive_why")}</p>
          <p class="quiet small">{t("lever.recorded")}</p>
        </Dialog>
      )}
    </>
  );
}

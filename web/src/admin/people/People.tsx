// Finds a buyer for support.
import { useEffect, useState } from "preact/hooks";
import { query } from "../../api/query";
import { go, place } from "../../router";
import { usePages } from "../../ui/usePages";
import { time } from "../format";
import { type Person, server } from "../server";
import { t } from "../text";
import { TextField } from "../ui/Labelled";
import { Empty } from "../ui/Note";
import { Pager } from "../ui/Pager";
import { Table } from "../ui/Table";

export function People() {
  const asked = new URLSearchParams(place.value.query).get("q") ?? "";
  const [typed, setTyped] = useState(asked);
  useEffect(() => setTyped(asked), [asked]); // back, or the menu
  const pages = usePages((cursor) => server.people(asked, cursor), asked);
  return (
    <>
      <header class="head">
        <h1>{t("people.title")}</h1>
      </header>
      <form
        class="filters"
        onSubmit={(event) => {
          event.preventDefault();
          go(`/admin/people${query({ q: typed.trim() })}`);
        }}
      >
        <TextField
          label={t("people.search")}
          type="search"
          value={typed}
          onValue={setTyped}
          maxLength={200}
        />
        <button type="submit" class="button primary">
          {t("search")}
        </button>
      </form>
      {!pages.fresh && pages.items.length === 0 && <Empty>{t("people.none")}</Empty>}
      {pages.items.length > 0 && (
        <Table
          caption={t("people.title")}
          head={[t("people.name"), t("people.email"), t("people.role"), t("people.since")]}
        >
          {pages.items.map((person) => (
            <PersonRow key={person.id} person={person} />
          ))}
        </Table>
      )}
      <Pager pages={pages} />
    </>
  );
}

function PersonRow({ person }: { person: Person }) {
  return (
    <tr>
      <th scope="row">
        <a href={`/admin/people/${person.id}`}>{person.name}</a>
        <span class="quiet small block">{person.id}</span>
      </th>
      <td>{person.email}</td>
      <td>{t(person.role === "admin" ? "people.admin" : "people.buyer")}</td>
      <td>{time(person.created_at_ms)}</td>
    </tr>
  );
}

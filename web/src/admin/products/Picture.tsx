// A product's picture: chosen or dropped, checked here and again on the server, seen before it is sent.
import { useRef, useState } from "preact/hooks";
import type { Problem } from "../../api/problem";
import { asProblem } from "../hooks";
import { type Product, server } from "../server";
import { t } from "../text";
import { ProblemNote } from "../ui/Note";
import { type Chosen, choose, PICTURE_KINDS } from "./pictureFile";

interface Props {
  product: Product;
  onChange: (product: Product) => void;
}

export function Picture({ product, onChange }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const [wrong, setWrong] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);

  const take = async (file: File | undefined) => {
    if (!file) return;
    setProblem(null);
    const result = await choose(file);
    if (typeof result === "string") {
      setChosen(null);
      setWrong(t(result));
    } else {
      setWrong("");
      setChosen(result);
    }
  };
  const run = async (work: () => Promise<Product>) => {
    setBusy(true);
    setProblem(null);
    try {
      onChange(await work());
      setChosen(null);
    } catch (error) {
      setProblem(asProblem(error));
    } finally {
      setBusy(false);
    }
  };
  const remove = async () => {
    await server.deletePicture(product.id);
    return { ...product, picture_url: "" };
  };
  const shown = chosen?.preview || product.picture_url;
  return (
    <section class="panel product-picture" aria-labelledby="picture-head">
      <h2 id="picture-head">{t("picture.title")}</h2>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping is a second way; the button does the same */}
      <div
        class="drop"
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          void take(event.dataTransfer?.files[0]);
        }}
      >
        {chosen && !chosen.preview ? (
          <span class="no-picture">{t("picture.no_preview")}</span>
        ) : shown ? (
          <img src={shown} alt={chosen ? t("picture.preview") : product.name} />
        ) : (
          <span class="no-picture">{t("products.no_picture")}</span>
        )}
      </div>
      <p class="hint">{t("picture.hint")}</p>
      <div role="alert">{wrong && <p class="note bad">{wrong}</p>}</div>
      <ProblemNote problem={problem} />
      <input
        ref={input}
        class="visually-hidden"
        type="file"
        tabIndex={-1}
        aria-label={t("picture.choose")}
        accept={PICTURE_KINDS.join(",")}
        onChange={(event) => {
          void take(event.currentTarget.files?.[0]);
          event.currentTarget.value = "";
        }}
      />
      <div class="row">
        <button type="button" class="button" onClick={() => input.current?.click()}>
          {t("picture.choose")}
        </button>
        {chosen && (
          <button
            type="button"
            class="button primary"
            disabled={busy}
            onClick={() => void run(() => server.putPicture(product.id, chosen.content))}
          >
            {t("picture.upload")}
          </button>
        )}
        {product.picture_url && !chosen && (
          <button
            type="button"
            class="button danger"
            disabled={busy}
            onClick={() => void run(remove)}
          >
            {t("picture.remove")}
          </button>
        )}
      </div>
    </section>
  );
}

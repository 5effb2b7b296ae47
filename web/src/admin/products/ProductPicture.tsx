// A product's picture: chosen or dropped, checked here and again on the server, seen before it is sent.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { type Product, server } from "../server";
import { t } from "../text";
import { ProblemNote } from "../ui/Note";
import { useAction } from "../ui/useAction";
import { type Chosen, choosePicture, PICTURE_KINDS } from "./pictureFile";

interface Props {
  product: Product;
  onChange: (product: Product) => void;
}

export function ProductPicture(props: Props) {
  const { product } = props;
  const { chosen, wrong, busy, problem, run, take, upload, remove } = usePicture(props);
  const button = (kind: string, work: () => Promise<void>) =>
    ({
      type: "button",
      class: `button ${kind}`,
      disabled: busy,
      onClick: () => run(work),
    }) as const;
  const shown = chosen?.preview || product.picture_url;
  return (
    <section class="panel product-picture" aria-labelledby="picture-head">
      <h2 id="picture-head">{t("picture.title")}</h2>
      <Drop onFile={take}>
        {chosen && !chosen.preview ? (
          <span class="no-picture">{t("picture.no_preview")}</span>
        ) : shown ? (
          <img src={shown} alt={chosen ? t("picture.preview") : product.name} />
        ) : (
          <span class="no-picture">{t("products.no_picture")}</span>
        )}
      </Drop>
      <p class="hint">{t("picture.hint")}</p>
      <div role="alert">{wrong && <p class="note bad">{wrong}</p>}</div>
      <ProblemNote problem={problem} />
      <div class="row">
        <ChooseFile onFile={take} />
        {chosen && (
          <button {...button("primary", () => upload(chosen))}>{t("picture.upload")}</button>
        )}
        {product.picture_url && !chosen && (
          <button {...button("danger", remove)}>{t("picture.remove")}</button>
        )}
      </div>
    </section>
  );
}

/** The file that was chosen, or why it cannot be one; and what is done with it. */
function usePicture({ product, onChange }: Props) {
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const [wrong, setWrong] = useState("");
  const { clear, ...action } = useAction();
  const take = async (file: File | undefined) => {
    if (!file) return;
    clear();
    const result = await choosePicture(file);
    if (typeof result === "string") {
      setChosen(null);
      setWrong(t(result));
    } else {
      setWrong("");
      setChosen(result);
    }
  };
  const upload = async ({ content }: Chosen) => {
    onChange(await server.putPicture(product.id, content));
    setChosen(null);
  };
  const remove = async () => {
    await server.deletePicture(product.id);
    onChange({ ...product, picture_url: "" });
  };
  return { ...action, chosen, wrong, take, upload, remove };
}

interface FileProps {
  onFile: (file: File | undefined) => Promise<void>;
}

function Drop({ onFile, children }: FileProps & { children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is a second way; the button does the same
    <div
      class="drop"
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        void onFile(event.dataTransfer?.files[0]);
      }}
    >
      {children}
    </div>
  );
}

function ChooseFile({ onFile }: FileProps) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={input}
        class="visually-hidden"
        type="file"
        tabIndex={-1}
        aria-label={t("picture.choose")}
        accept={PICTURE_KINDS.join(",")}
        onChange={(event) => {
          void onFile(event.currentTarget.files?.[0]);
          event.currentTarget.value = "";
        }}
      />
      <button type="button" class="button" onClick={() => input.current?.click()}>
        {t("picture.choose")}
      </button>
    </>
  );
}

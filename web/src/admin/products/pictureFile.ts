// Whether a file can be a product's picture, as the server decides: by its bytes and its size.
import type { Key } from "../text";

export const PICTURE_MAX_BYTES = 12_000_000;
const PIXELS_MAX = 50_000_000;
export const PICTURE_KINDS = ["image/jpeg", "image/png", "image/webp", "image/heic"] as const;

export interface Chosen {
  content: Blob;
  /** A data: URL; the policy of the pages allows no blob: one. "": this browser cannot show it. */
  preview: string;
}

/** The media type that the first bytes say, or null. */
export function kindOf(head: Uint8Array): (typeof PICTURE_KINDS)[number] | null {
  const text = String.fromCharCode(...head.slice(0, 16));
  if (text.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "image/webp";
  if (text.slice(4, 8) === "ftyp" && /hei[cfmsx]|mif1|msf1/.test(text.slice(8, 12)))
    return "image/heic";
  return null;
}

/** The picture with its preview, or why it cannot be one. */
export async function choosePicture(file: Blob): Promise<Chosen | Key> {
  if (file.size > PICTURE_MAX_BYTES) return "picture.too_large";
  const kind = kindOf(new Uint8Array(await file.slice(0, 16).arrayBuffer()));
  if (!kind) return "picture.wrong_kind";
  const content = new Blob([file], { type: kind });
  const seen = await createImageBitmap(content).catch(() => null);
  if (!seen) return kind === "image/heic" ? { content, preview: "" } : "picture.broken";
  if (seen.width * seen.height > PIXELS_MAX) return "picture.too_many_pixels";
  seen.close();
  return { content, preview: await dataUrl(content) };
}

function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

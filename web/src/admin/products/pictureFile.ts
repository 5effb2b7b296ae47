// Whether a file can be a product's picture, as the server decides: by its bytes and its size.
import type { Key } from "../text";

export const PICTURE_MAX_BYTES = 2_000_000;
const PICTURE_SIDE_MAX = 4_096; // pixels
export const PICTURE_KINDS = ["image/jpeg", "image/png", "image/webp"] as const;

export interface Chosen {
  content: Blob;
  /** A data: URL; the policy of the pages allows no blob: one. */
  preview: string;
}

/** The media type that the first bytes say, or null. */
export function kindOf(head: Uint8Array): (typeof PICTURE_KINDS)[number] | null {
  const text = String.fromCharCode(...head.slice(0, 16));
  if (text.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "image/webp";
  return null;
}

/** The picture with its preview, or why it cannot be one. */
export async function choosePicture(file: Blob): Promise<Chosen | Key> {
  if (file.size > PICTURE_MAX_BYTES) return "picture.too_large";
  const kind = kindOf(new Uint8Array(await file.slice(0, 16).arrayBuffer()));
  if (!kind) return "picture.wrong_kind";
  const content = new Blob([file], { type: kind });
  const seen = await createImageBitmap(content).catch(() => null);
  if (!seen) return "picture.broken";
  if (Math.max(seen.width, seen.height) > PICTURE_SIDE_MAX) return "picture.too_wide";
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

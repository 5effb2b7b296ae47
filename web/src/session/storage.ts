// localStorage that may be full, forbidden or absent: then nothing is remembered, and nothing breaks.

export function load(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** `null` removes the key. */
export function save(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // a private window, or a full disk
  }
}

/** A stored JSON object, or null if there is none or it is not one. */
export function loadObject(key: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(load(key) ?? "null");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

// When an access token ends. Pure; the token is only read, whether it is genuine the server says.

/** Unix ms, or null if it cannot be told. */
export function expiryMs(token: string): number | null {
  const part = token.split(".")[1];
  if (!part) return null;
  try {
    const claims: unknown = JSON.parse(atob(part.replace(/-/g, "+").replace(/_/g, "/")));
    const exp = (claims as { exp?: unknown }).exp;
    return typeof exp === "number" ? exp * 1000 : null;
  } catch {
    return null;
  }
}

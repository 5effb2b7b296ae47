// This device shows that it signed in to an account before, and tells nobody else whose.
import { beforeEach, expect, test, vi } from "vitest";
import { type Call, page, settle } from "./page";

let calls: Call[];
let session: typeof import("../src/session/session");
let device: typeof import("../src/session/device");

beforeEach(async () => {
  vi.resetModules();
  calls = page();
  session = await import("../src/session/session");
  device = await import("../src/session/device");
});

const answer = (email: string, device_token: string) => ({
  access_token: "a.b.c",
  user: { id: 1, name: "Ada", email, role: "buyer" },
  device_token,
});

async function signIn(email: string, token: string) {
  const signing = session.signIn(email, "secret");
  await settle();
  const call = calls.at(-1);
  await call?.answer(200, answer(email, token));
  await signing;
  return call?.body as { device_token?: string };
}

test("the next sign-in to an account carries what the last one answered", async () => {
  expect(await signIn("ada@x.example", "one")).not.toHaveProperty("device_token");
  session.signOut();
  expect((await signIn("ADA@x.example", "two")).device_token).toBe("one");
  expect((await signIn("ada@x.example", "three")).device_token).toBe("two");
});

test("another account does not get it", async () => {
  await signIn("ada@x.example", "one");
  expect(await signIn("eve@x.example", "two")).not.toHaveProperty("device_token");
});

test("a new account's is kept as well", async () => {
  const signing = session.signUp("Ada", "ada@x.example", "a purple teapot");
  await settle();
  await calls.at(-1)?.answer(201, answer("ada@x.example", "first"));
  await signing;
  expect(device.deviceToken("ada@x.example")).toBe("first");
});

test("the e-mail is not kept with it, and a device keeps few", () => {
  for (let i = 0; i < 9; i += 1) device.keepDeviceToken(`p${i}@x.example`, `t${i}`);
  const kept = localStorage.getItem("miaosha.devices") ?? "";
  expect(kept).not.toContain("example");
  expect(Object.keys(JSON.parse(kept))).toHaveLength(5);
  expect(device.deviceToken("p8@x.example")).toBe("t8");
  expect(device.deviceToken("p3@x.example")).toBeUndefined();
});

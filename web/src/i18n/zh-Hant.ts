// The shop's texts in traditional Chinese.
import type { Key } from ".";
import type { Text } from "./translator";

export const zhHant: Record<Key, Text> = {
  shop: "秒殺",
  loading: "載入中…",
  "admin.title": "管理後台",
};

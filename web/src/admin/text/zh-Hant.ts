// The console's texts in traditional Chinese, put together.
import type { Text } from "../../i18n/translator";
import type { Key } from ".";
import { desk } from "./zh-Hant/desk";
import { goods } from "./zh-Hant/goods";
import { room } from "./zh-Hant/room";
import { shell } from "./zh-Hant/shell";

export const zhHant: Record<Key, Text> = { ...shell, ...goods, ...room, ...desk };

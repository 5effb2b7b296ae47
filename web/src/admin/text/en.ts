// The console's texts in English, put together.
import { desk } from "./en/desk";
import { goods } from "./en/goods";
import { room } from "./en/room";
import { shell } from "./en/shell";

export const en = { ...shell, ...goods, ...room, ...desk };

// The steps of the charts' scales: 1, 2, 5, 10, … A half unit or millisecond would be shown as a whole one.
const POWERS = 10; // to five thousand million

export const WHOLE: number[] = Array.from({ length: POWERS }, (_, n) =>
  [1, 2, 5].map((first) => first * 10 ** n),
).flat();

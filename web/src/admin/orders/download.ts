// Gives the browser a file to save.

/** UTF-8 text; a byte order mark that reading took off is put back for spreadsheets. */
export function offer(name: string, text: string): void {
  const content = text.startsWith("\ufeff") ? text : `\ufeff${text}`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "text/csv;charset=utf-8" }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

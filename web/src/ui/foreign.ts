// A foreign hand in the text: translators in browsers put <font> elements in the place of text nodes, or
// around them. What renders the pages goes on with the nodes it made: its changes would be written where
// nobody sees them, and its insertions would fail.
//
// So whatever stands in the place of a text is known here. A text that changes takes its place back (and
// may be translated again); one that is removed takes its stand-in along.

/** Text nodes that are out of the page, and what is there instead. */
const standIns = new WeakMap<Node, Element>();
const taken = new WeakSet<Element>();

/** Begin to watch. To be called once, before anything is rendered. */
export function startForeign(): void {
  const observer = new MutationObserver((records) => {
    for (const record of records) {
      if (record.type === "characterData") takeBack(record.target);
      for (const node of record.removedNodes) remember(node, record, observer);
      for (const node of record.addedNodes) if (node.isConnected) forget(node); // put back
    }
  });
  observer.observe(document.body, { childList: true, subtree: true });
  for (const name of ["insertBefore", "moveBefore"] as const) guard(name);
}

function remember(node: Node, record: MutationRecord, observer: MutationObserver): void {
  if (!(node instanceof Text) || node.isConnected) return;
  const beside = [...record.addedNodes, record.previousSibling, record.nextSibling];
  const found = beside.find((one) => one instanceof HTMLElement && one.localName === "font");
  const font = found as HTMLElement | undefined;
  if (!font?.isConnected || taken.has(font)) return;
  taken.add(font);
  standIns.set(node, font);
  observer.observe(node, { characterData: true });
  // Who removes the node asks it for its parent, and who inserts beside it for its neighbour.
  Object.defineProperties(node, {
    parentNode: { configurable: true, get: () => font.parentNode },
    nextSibling: { configurable: true, get: () => font.nextSibling },
    remove: {
      configurable: true,
      value: () => {
        font.remove();
        forget(node);
      },
    },
  });
}

function forget(node: Node): void {
  if (!standIns.delete(node)) return;
  for (const name of ["parentNode", "nextSibling", "remove"]) Reflect.deleteProperty(node, name);
}

/** The text itself is in the page again. */
function takeBack(node: Node): void {
  const font = standIns.get(node);
  if (!font) return;
  forget(node);
  if (font.isConnected) font.replaceWith(node);
}

/** What is a child of `parent` where `node` is known to be: the stand-in, or what is wrapped around. */
function childOf(parent: Node, node: Node | null): Node | null {
  let at: Node | null = (node && standIns.get(node)) ?? node;
  while (at && at.parentNode !== parent) at = at.parentNode;
  return at;
}

type Insertion = (this: Node, node: Node, before: Node | null) => Node | undefined;

function guard(name: "insertBefore" | "moveBefore"): void {
  const methods = Node.prototype as unknown as Record<string, Insertion | undefined>;
  const own = methods[name] ?? (Element.prototype as unknown as typeof methods)[name];
  if (!own) return; // an older browser has no moveBefore
  const owner = name in Node.prototype ? Node.prototype : Element.prototype;
  const guarded: Insertion = function (node, before) {
    takeBack(node);
    return own.call(this, node, childOf(this, before));
  };
  Object.defineProperty(owner, name, { configurable: true, writable: true, value: guarded });
}

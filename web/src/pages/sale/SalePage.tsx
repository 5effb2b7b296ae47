// One sale: the waiting room before it opens, the button, the place in line, the checkout.
import { useEffect, useMemo } from "preact/hooks";
import type { Sale } from "../../api/types";
import { serverNow } from "../../clock/server";
import { useRemaining } from "../../clock/useRemaining";
import { t } from "../../i18n";
import { SaleFeed } from "../../live/feed";
import { Buyer } from "../../purchase/buyer";
import { stage } from "../../purchase/stage";
import { Icon } from "../../ui/Icon";
import { Picture } from "../../ui/Picture";
import { Price } from "../../ui/Price";
import { Trouble } from "../../ui/Trouble";
import { useTitle } from "../../ui/useTitle";
import { NotFound } from "../NotFound";
import { ConnectionLine } from "./ConnectionLine";
import { Panel } from "./Panel";
import { SaleFacts } from "./SaleFacts";
import { Steps } from "./Steps";

export interface Visit {
  feed: SaleFeed;
  buyer: Buyer;
}

/** The feed tells the buyer, and the buyer asks the feed's socket. */
function visitOf(saleId: number): Visit {
  const feed: SaleFeed = new SaleFeed(saleId, {
    told: (news) => buyer.told(news),
    connected: (live) => buyer.connected(live),
  });
  const buyer = new Buyer(
    saleId,
    () => feed.lookup(),
    () => feed.sale.peek(),
  );
  return { feed, buyer };
}

export function SalePage({ saleId }: { saleId: number }) {
  const visit = useMemo(() => visitOf(saleId), [saleId]);
  useEffect(() => {
    const stops = [visit.buyer.start(), visit.feed.start()];
    return () => {
      for (const stop of stops) stop();
    };
  }, [visit]);
  const sale = visit.feed.sale.value;
  const problem = visit.feed.problem.value;
  if (problem?.status === 404) return <NotFound />;
  if (!sale && problem) return <Trouble problem={problem} again={() => visit.feed.again()} />;
  if (!sale) return <Blank />;
  return <ShownSale visit={visit} sale={sale} />;
}

function Blank() {
  return (
    <div class="sale" aria-busy="true">
      <div class="picture" />
      <p class="quiet">{t("loading")}</p>
    </div>
  );
}

function ShownSale({ visit, sale }: { visit: Visit; sale: Sale }) {
  useTitle(sale.title);
  useRemaining(sale.opens_at_ms); // renders at the second of the opening,
  useRemaining(sale.closes_at_ms); // and of the end
  const now = stage(sale, visit.buyer.purchase.value, serverNow());
  const mine = now === "held" || now === "paying";
  return (
    <div class={mine ? "sale sale-mine" : "sale"}>
      <div class="sale-picture">
        <Picture
          src={sale.product.picture_url}
          small={sale.product.picture_small_url}
          name={sale.product.name}
          eager
        />
      </div>
      <div class="sale-main">
        <header class="sale-head">
          <p class="sale-line">
            <ConnectionLine feed={visit.feed} />
            <span class="quiet small with-icon">
              <Icon name="people" />
              {t("sale.watching", { n: Math.max(1, sale.watching) })}
            </span>
          </p>
          <h1>{sale.title}</h1>
          <Price sale={sale} />
        </header>
        <Panel visit={visit} sale={sale} stage={now} />
      </div>
      <div class="sale-more">
        <SaleFacts sale={sale} />
        {now === "before" && <Steps sale={sale} />}
      </div>
    </div>
  );
}

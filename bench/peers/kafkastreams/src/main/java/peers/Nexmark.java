package peers;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.Function;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The queries of examples/nexmark: the same keys, values and bytes. Windows that are to come once, when
 * they have closed, are suppressed until then: EmitStrategy looks at most once a second of the wall
 * clock, so what is out at the end would depend on it.
 */
final class Nexmark {

    record Person(long id, String name, String email, String creditCard, String city, String state,
                  long dateTime, String extra) { }

    record Auction(long id, String itemName, String description, long initialBid, long reserve,
                   long dateTime, long expires, long seller, long category, String extra) { }

    record Bid(long auction, long bidder, long price, String channel, String url, long dateTime, String extra) { }

    record Expanded(Bid bid, Auction auction) { }

    record SideBid(long auction, long bidder, long price, long dateTime, String value) { }

    record Stats(long bids, long rank1, long rank2, long rank3, long min, long max, long mean, long sum) { }

    record Suggestion(String name, String city, String state, long auction) { }

    record Hottest(long start, long bids, List<Long> auctions) { }

    record Entry(long person, String name, long sales) { }

    record BidderAuction(long bidder, long auction) { }

    static final Duration PERIOD = Duration.ofSeconds(10);
    static final Duration GRACE = Duration.ofMinutes(1);
    static final Serde<Long> LONG = Serdes.Long();

    static void build(StreamsBuilder b, String workload, String[] in, String out) {
        switch (workload) {
            case "nexmark-q0" -> bids(b, in[0]).mapValues(v -> v).to(out, Produced.with(LONG, BID));
            case "nexmark-q1" -> bids(b, in[0]).mapValues(Nexmark::inEuro).to(out, Produced.with(LONG, BID));
            case "nexmark-q2" -> bids(b, in[0]).filter((k, v) -> v.auction() % 123 == 0).mapValues(Bid::price)
                .to(out, Produced.with(LONG, LONG));
            case "nexmark-q3" -> {
                KTable<Long, Auction> auctions = auctions(b, in[0]).filter((k, a) -> a.category() == 10);
                KTable<Long, Person> persons = b.table(in[1], Consumed.with(LONG, PERSON), Materialized.<Long, Person, KeyValueStore<Bytes, byte[]>>as("persons")
                    .withKeySerde(LONG).withValueSerde(PERSON))
                    .filter((k, p) -> p.state().equals("OR") || p.state().equals("ID") || p.state().equals("CA"));
                Serde<Suggestion> suggestion = Main.json(Suggestion.class);
                auctions.join(persons, Auction::seller, (a, p) -> new Suggestion(p.name(), p.city(), p.state(), a.id()),
                        Materialized.<Long, Suggestion, KeyValueStore<Bytes, byte[]>>as("local-items").withKeySerde(LONG).withValueSerde(suggestion))
                    .toStream().to(out, Produced.with(LONG, suggestion));
            }
            case "nexmark-q5" -> {
                Serde<Hottest> hottest = Main.json(Hottest.class);
                bids(b, in[0]).groupByKey(Grouped.with(LONG, BID))
                    .windowedBy(TimeWindows.ofSizeAndGrace(PERIOD, GRACE).advanceBy(Duration.ofSeconds(2)))
                    .count(Materialized.<Long, Long, WindowStore<Bytes, byte[]>>as("bids").withKeySerde(LONG).withValueSerde(LONG))
                    .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
                    .toStream()
                    .map((w, n) -> KeyValue.pair(w.window().start(), new Hottest(w.window().start(), n, List.of(w.key()))))
                    .groupByKey(Grouped.with(LONG, hottest))
                    .reduce(Nexmark::hotter, Materialized.<Long, Hottest, KeyValueStore<Bytes, byte[]>>as("hottest").withKeySerde(LONG).withValueSerde(hottest))
                    .toStream().to(out, Produced.with(LONG, hottest));
            }
            case "nexmark-q7" -> bids(b, in[0]).groupByKey(Grouped.with(LONG, BID))
                .windowedBy(TimeWindows.ofSizeAndGrace(PERIOD, GRACE))
                .reduce(Nexmark::higher, Materialized.<Long, Bid, WindowStore<Bytes, byte[]>>as("best-of-auction").withKeySerde(LONG).withValueSerde(BID))
                .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
                .toStream()
                .map((w, v) -> KeyValue.pair(w.window().start(), v))
                .groupByKey(Grouped.with(LONG, BID))
                .reduce(Nexmark::higher, Materialized.<Long, Bid, KeyValueStore<Bytes, byte[]>>as("best").withKeySerde(LONG).withValueSerde(BID))
                .toStream().to(out, Produced.with(LONG, BID));
            case "nexmark-q8" -> {
                Serde<Entry> entry = Main.json(Entry.class);
                b.stream(in[1], Consumed.with(LONG, PERSON)).mapValues(p -> new Entry(p.id(), p.name(), 0))
                    .merge(b.stream(in[0], Consumed.with(LONG, AUCTION)).mapValues(a -> new Entry(a.seller(), "", 1)))
                    .groupBy((k, e) -> e.person(), Grouped.with(LONG, entry))
                    .windowedBy(TimeWindows.ofSizeAndGrace(PERIOD, GRACE))
                    .reduce((x, y) -> new Entry(x.person(), x.name() + y.name(), x.sales() + y.sales()),
                        Materialized.<Long, Entry, WindowStore<Bytes, byte[]>>as("came-and-sold").withKeySerde(LONG).withValueSerde(entry))
                    .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
                    .toStream()
                    .filter((w, e) -> !e.name().isEmpty() && e.sales() > 0)
                    .mapValues(Entry::name)
                    .to(out, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(Long.class, PERIOD.toMillis()), Serdes.String()));
            }
            case "nexmark-q11" -> bids(b, in[0]).groupBy((k, v) -> v.bidder(), Grouped.with(LONG, BID))
                .windowedBy(SessionWindows.ofInactivityGapAndGrace(PERIOD, GRACE))
                .count(Materialized.<Long, Long, SessionStore<Bytes, byte[]>>as("sessions").withKeySerde(LONG).withValueSerde(LONG))
                .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
                .toStream()
                .to(out, Produced.with(WindowedSerdes.sessionWindowedSerdeFrom(Long.class), LONG));
            case "nexmark-q13" -> {
                GlobalKTable<Long, String> side = b.globalTable(in[1], Consumed.with(LONG, Serdes.String()),
                    Materialized.<Long, String, KeyValueStore<Bytes, byte[]>>as("side").withKeySerde(LONG).withValueSerde(Serdes.String()));
                bids(b, in[0]).join(side, (k, v) -> v.auction() % 10_000,
                        (v, s) -> new SideBid(v.auction(), v.bidder(), v.price(), v.dateTime(), s))
                    .to(out, Produced.with(LONG, SIDE_BID));
            }
            case "nexmark-q17" -> bids(b, in[0]).groupByKey(Grouped.with(LONG, BID))
                .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofDays(1), Duration.ofHours(1)))
                .aggregate(() -> new Stats(0, 0, 0, 0, 0, 0, 0, 0), (k, v, s) -> add(s, v),
                    Materialized.<Long, Stats, WindowStore<Bytes, byte[]>>as("statistics").withKeySerde(LONG).withValueSerde(STATS))
                .toStream()
                .to(out, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(Long.class, Duration.ofDays(1).toMillis()), STATS));
            case "nexmark-q18" -> bids(b, in[0]).groupBy((k, v) -> new BidderAuction(v.bidder(), v.auction()), Grouped.with(BIDDER_AUCTION, BID))
                .reduce((last, v) -> v.dateTime() < last.dateTime() ? last : v,
                    Materialized.<BidderAuction, Bid, KeyValueStore<Bytes, byte[]>>as("last").withKeySerde(BIDDER_AUCTION).withValueSerde(BID))
                .toStream().to(out, Produced.with(BIDDER_AUCTION, BID));
            case "nexmark-q20" -> bids(b, in[0])
                .join(auctions(b, in[1]), Expanded::new, Joined.with(LONG, BID, AUCTION))
                .filter((k, e) -> e.auction().category() == 10)
                .to(out, Produced.with(LONG, EXPANDED));
            default -> throw new IllegalArgumentException("unknown workload " + workload);
        }
    }

    static KStream<Long, Bid> bids(StreamsBuilder b, String topic) {
        return b.stream(topic, Consumed.with(LONG, BID));
    }

    static KTable<Long, Auction> auctions(StreamsBuilder b, String topic) {
        return b.table(topic, Consumed.with(LONG, AUCTION),
            Materialized.<Long, Auction, KeyValueStore<Bytes, byte[]>>as("auctions").withKeySerde(LONG).withValueSerde(AUCTION));
    }

    static Bid inEuro(Bid b) {
        return new Bid(b.auction(), b.bidder(), b.price() * 908 / 1000, b.channel(), b.url(), b.dateTime(), b.extra());
    }

    static Bid higher(Bid a, Bid b) {
        if (a.price() != b.price()) {
            return a.price() > b.price() ? a : b;
        }
        if (a.dateTime() != b.dateTime()) {
            return a.dateTime() < b.dateTime() ? a : b;
        }
        if (a.auction() != b.auction()) {
            return a.auction() < b.auction() ? a : b;
        }
        return a.bidder() <= b.bidder() ? a : b;
    }

    static Hottest hotter(Hottest a, Hottest b) {
        if (a.bids() != b.bids()) {
            return a.bids() > b.bids() ? a : b;
        }
        List<Long> both = new ArrayList<>(a.auctions());
        both.addAll(b.auctions());
        Collections.sort(both);
        return new Hottest(a.start(), a.bids(), both);
    }

    static Stats add(Stats s, Bid b) {
        long p = b.price(), n = s.bids() + 1, sum = s.sum() + p;
        return new Stats(n, s.rank1() + (p < 10_000 ? 1 : 0), s.rank2() + (p >= 10_000 && p < 1_000_000 ? 1 : 0), s.rank3() + (p >= 1_000_000 ? 1 : 0),
            n == 1 ? p : Math.min(s.min(), p), Math.max(s.max(), p), sum / n, sum);
    }

    // Numbers are 8 bytes, strings their length in 4 bytes and UTF-8.

    static final Serde<Person> PERSON = serde(
        w -> p -> w.number(p.id()).text(p.name()).text(p.email()).text(p.creditCard()).text(p.city()).text(p.state())
            .number(p.dateTime()).text(p.extra()),
        Nexmark::person);
    static final Serde<Auction> AUCTION = serde(w -> a -> auction(w, a), Nexmark::auction);
    static final Serde<Bid> BID = serde(w -> b -> bid(w, b), Nexmark::bid);
    static final Serde<Expanded> EXPANDED = serde(w -> e -> auction(bid(w, e.bid()), e.auction()), r -> new Expanded(bid(r), auction(r)));
    static final Serde<SideBid> SIDE_BID = serde(
        w -> s -> w.number(s.auction()).number(s.bidder()).number(s.price()).number(s.dateTime()).text(s.value()),
        r -> new SideBid(r.getLong(), r.getLong(), r.getLong(), r.getLong(), text(r)));
    static final Serde<Stats> STATS = serde(
        w -> s -> w.number(s.bids()).number(s.rank1()).number(s.rank2()).number(s.rank3())
            .number(s.min()).number(s.max()).number(s.mean()).number(s.sum()),
        r -> new Stats(r.getLong(), r.getLong(), r.getLong(), r.getLong(), r.getLong(), r.getLong(), r.getLong(), r.getLong()));
    // As codec.PairOf: with the sign turned over, so that they sort.
    static final Serde<BidderAuction> BIDDER_AUCTION = serde(
        w -> p -> w.number(p.bidder() ^ Long.MIN_VALUE).number(p.auction() ^ Long.MIN_VALUE),
        r -> new BidderAuction(r.getLong() ^ Long.MIN_VALUE, r.getLong() ^ Long.MIN_VALUE));

    static Person person(ByteBuffer r) {
        return new Person(r.getLong(), text(r), text(r), text(r), text(r), text(r), r.getLong(), text(r));
    }

    static Wire auction(Wire w, Auction a) {
        return w.number(a.id()).text(a.itemName()).text(a.description()).number(a.initialBid()).number(a.reserve())
            .number(a.dateTime()).number(a.expires()).number(a.seller()).number(a.category()).text(a.extra());
    }

    static Auction auction(ByteBuffer r) {
        return new Auction(r.getLong(), text(r), text(r), r.getLong(), r.getLong(), r.getLong(), r.getLong(), r.getLong(), r.getLong(), text(r));
    }

    static Wire bid(Wire w, Bid b) {
        return w.number(b.auction()).number(b.bidder()).number(b.price()).text(b.channel()).text(b.url()).number(b.dateTime()).text(b.extra());
    }

    static Bid bid(ByteBuffer r) {
        return new Bid(r.getLong(), r.getLong(), r.getLong(), text(r), text(r), r.getLong(), text(r));
    }

    static String text(ByteBuffer r) {
        int n = r.getInt();
        String s = new String(r.array(), r.arrayOffset() + r.position(), n, StandardCharsets.UTF_8);
        r.position(r.position() + n);
        return s;
    }

    /** A buffer that grows; each thread has one. */
    static final class Wire {
        private ByteBuffer b = ByteBuffer.allocate(1024);

        private void room(int n) {
            if (b.remaining() < n) {
                b = ByteBuffer.allocate(2 * (b.capacity() + n)).put(b.flip());
            }
        }

        Wire number(long n) {
            room(8);
            b.putLong(n);
            return this;
        }

        Wire text(String s) {
            byte[] utf8 = s.getBytes(StandardCharsets.UTF_8);
            room(4 + utf8.length);
            b.putInt(utf8.length).put(utf8);
            return this;
        }

        byte[] take() {
            byte[] all = new byte[b.position()];
            b.flip().get(all);
            b.clear();
            return all;
        }
    }

    interface Writer<T> {
        Wire write(T v);
    }

    static <T> Serde<T> serde(Function<Wire, Writer<T>> writer, Function<ByteBuffer, T> reader) {
        ThreadLocal<Wire> wires = ThreadLocal.withInitial(Wire::new);
        return Serdes.serdeFrom(
            (topic, v) -> v == null ? null : writer.apply(wires.get()).write(v).take(),
            (topic, v) -> v == null ? null : reader.apply(ByteBuffer.wrap(v)));
    }

    private Nexmark() { }
}

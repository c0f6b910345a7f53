package takeover;

import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/** What takeover_test.go says as a Limpet topology: {@code <bootstrap> <application> <state directory>}. */
public final class Main {

    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
        p.put(StreamsConfig.STATE_DIR_CONFIG, args[2]);
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0"); // every update goes downstream
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        p.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        p.put("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__", 0L); // look for unmatched records each time

        KafkaStreams streams = new KafkaStreams(topology(args[1]).build(), p);
        CountDownLatch stopped = new CountDownLatch(1);
        streams.setStateListener((now, was) -> System.err.println("state " + now));
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(CloseOptions.timeout(Duration.ofSeconds(60))
                .withGroupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP));
            stopped.countDown();
        }));
        streams.start();
        stopped.await();
    }

    static StreamsBuilder topology(String app) {
        StreamsBuilder b = new StreamsBuilder();
        Consumed<String, String> strings = Consumed.with(Serdes.String(), Serdes.String());
        Produced<String, String> texts = Produced.with(Serdes.String(), Serdes.String());

        KGroupedStream<String, String> words = b.stream(app + "-words", strings)
            .groupByKey(Grouped.with(Serdes.String(), Serdes.String()));
        words.count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts")
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
            .toStream().to(app + "-counts-out", Produced.with(Serdes.String(), Serdes.Long()));
        words.windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofSeconds(30)))
            .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("windows")
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
            .toStream().to(app + "-windows-out", Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, 10_000), Serdes.Long()));
        words.windowedBy(SessionWindows.ofInactivityGapAndGrace(Duration.ofSeconds(5), Duration.ofSeconds(30)))
            .count(Materialized.<String, Long, SessionStore<Bytes, byte[]>>as("sessions")
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
            .toStream().to(app + "-sessions-out", Produced.with(WindowedSerdes.sessionWindowedSerdeFrom(String.class), Serdes.Long()));

        KTable<String, String> prices = b.table(app + "-prices", strings,
            Materialized.<String, String>as(Stores.persistentVersionedKeyValueStore(app + "-prices", Duration.ofHours(1)))
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.String()));
        b.stream(app + "-orders", strings)
            .leftJoin(prices, (order, price) -> order + "+" + price, Joined.with(Serdes.String(), Serdes.String(), Serdes.String()))
            .to(app + "-orders-out", texts);
        b.stream(app + "-orders", strings)
            .leftJoin(prices, (order, price) -> order + "~" + price,
                Joined.with(Serdes.String(), Serdes.String(), Serdes.String(), "buffered", Duration.ofSeconds(5)))
            .to(app + "-buffered-out", texts);

        KStream<String, String> left = b.stream(app + "-left", strings);
        KStream<String, String> right = b.stream(app + "-right", strings);
        JoinWindows near = JoinWindows.ofTimeDifferenceAndGrace(Duration.ofSeconds(10), Duration.ofSeconds(5));
        left.leftJoin(right, (x, y) -> x + "+" + y, near, StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()).withStoreName("lefts"))
            .to(app + "-lefts-out", texts);
        left.outerJoin(right, (x, y) -> x + "+" + y, near, StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()).withStoreName("outers"))
            .to(app + "-outers-out", texts);
        return b;
    }
}

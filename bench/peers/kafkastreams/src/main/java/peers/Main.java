package peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.apache.kafka.streams.state.WindowStore;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.BloomFilter;
import org.rocksdb.Options;

/** The Kafka Streams peer: {@code <workload> <bootstrap> <in-topics> <out-topic> <appid>}. */
public final class Main {

    public record Customer(String id, String name, String email, String locale, String tier,
                           String street, String city, String country, boolean optIn, String note) { }

    public record Order(String orderId, String customerId, String sku, int quantity, long cents,
                        String currency, long placedAt, String channel, String note) { }

    public record Email(String orderId, String customerId, String to, String locale, String template,
                        String subject, String body, long cents, String currency) { }

    public static void main(String[] args) throws Exception {
        String workload = args[0];
        String[] in = args[2].split(",");
        String out = args[3];
        Properties p = config(args[1], args[4], env("PEER_MODE", "eos"), env("PEER_TUNE", "default"));

        StreamsBuilder b = new StreamsBuilder();
        switch (workload) {
            case "passthrough" -> passthrough(b, in[0], out);
            case "count" -> count(b, in[0], out);
            case "window" -> window(b, in[0], out);
            case "join" -> join(b, in[0], in[1], out);
            case "streamjoin" -> streamJoin(b, in[0], in[1], out);
            default -> Nexmark.build(b, workload, in, out);
        }

        KafkaStreams streams = new KafkaStreams(b.build(p), p);
        CountDownLatch stopped = new CountDownLatch(1);
        long t0 = System.nanoTime();
        streams.setStateListener((now, was) ->
            System.err.printf("state %s after %d ms%n", now, (System.nanoTime() - t0) / 1_000_000));
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            // Leave the group: by default the next start waits for the session timeout (45 s).
            streams.close(CloseOptions.timeout(Duration.ofSeconds(60))
                .withGroupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP));
            stopped.countDown();
        }));
        streams.start();
        stopped.await();
    }

    static void passthrough(StreamsBuilder b, String in, String out) {
        b.stream(in, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
            .filter((k, v) -> v != null)
            .mapValues(v -> v)
            .to(out, Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
    }

    static void count(StreamsBuilder b, String in, String out) {
        b.stream(in, Consumed.with(Serdes.String(), Serdes.ByteArray()))
            .groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
            .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts")
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
            .toStream()
            .to(out, Produced.with(Serdes.String(), Serdes.Long()));
    }

    static void window(StreamsBuilder b, String in, String out) {
        b.stream(in, Consumed.with(Serdes.String(), Serdes.ByteArray()))
            .groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
            .windowedBy(TimeWindows.ofSizeWithNoGrace(Duration.ofMinutes(1)))
            .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("counts")
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
            .toStream()
            .map((w, n) -> org.apache.kafka.streams.KeyValue.pair(w.key(),
                ByteBuffer.allocate(16).putLong(w.window().start()).putLong(n).array()))
            .to(out, Produced.with(Serdes.String(), Serdes.ByteArray()));
    }

    static void join(StreamsBuilder b, String orders, String customers, String out) {
        Serde<Customer> customerSerde = json(Customer.class);
        Serde<Order> orderSerde = json(Order.class);
        Serde<Email> emailSerde = json(Email.class);
        KTable<String, Customer> table = b.table(customers, Consumed.with(Serdes.String(), customerSerde),
            Materialized.<String, Customer, KeyValueStore<Bytes, byte[]>>as("customers")
                .withKeySerde(Serdes.String()).withValueSerde(customerSerde));
        b.stream(orders, Consumed.with(Serdes.String(), orderSerde))
            .join(table, Main::email, Joined.with(Serdes.String(), orderSerde, customerSerde))
            .to(out, Produced.with(Serdes.String(), emailSerde));
    }

    /** What each value begins with, 4 bytes of the left one and of the right one. */
    static void streamJoin(StreamsBuilder b, String left, String right, String out) {
        b.stream(left, Consumed.with(Serdes.String(), Serdes.ByteArray()))
            .join(b.stream(right, Consumed.with(Serdes.String(), Serdes.ByteArray())),
                (l, r) -> ByteBuffer.allocate(8).put(l, 0, 4).put(r, 0, 4).array(),
                JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofMinutes(1)),
                StreamJoined.with(Serdes.String(), Serdes.ByteArray(), Serdes.ByteArray()).withName("pairs").withStoreName("pairs"))
            .to(out, Produced.with(Serdes.String(), Serdes.ByteArray()));
    }

    static Email email(Order o, Customer c) {
        return new Email(o.orderId(), c.id(), c.email(), c.locale(), "order-confirmation",
            "Your order " + o.orderId(),
            "Dear " + c.name() + ", we received your order of " + o.quantity() + " x " + o.sku() + ".",
            o.cents(), o.currency());
    }

    static <T> Serde<T> json(Class<T> type) {
        ObjectMapper mapper = new ObjectMapper();
        ObjectReader reader = mapper.readerFor(type);
        ObjectWriter writer = mapper.writerFor(type);
        Serializer<T> s = (topic, v) -> {
            try {
                return v == null ? null : writer.writeValueAsBytes(v);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        };
        Deserializer<T> d = (topic, v) -> {
            try {
                return v == null ? null : reader.readValue(v);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        };
        return Serdes.serdeFrom(s, d);
    }

    /**
     * default: what a user gets who sets nothing. tuned: see below and the RocksDB settings; the record
     * cache holds the working set. tuned-nocache: every update goes downstream.
     */
    static Properties config(String bootstrap, String app, String mode, String tune) {
        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, app);
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        p.put(StreamsConfig.STATE_DIR_CONFIG, env("PEER_STATE", "state"));
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
            mode.equals("eos") ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
        p.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        // The records' times are years ago. By default the broker deletes what is older than a day from the
        // changelogs of windows, also of those that are open.
        p.put(StreamsConfig.WINDOW_STORE_CHANGE_LOG_ADDITIONAL_RETENTION_MS_CONFIG, Long.toString(Duration.ofDays(36_500).toMillis()));
        String every = env("PEER_COMMIT_MS", "");
        if (mode.equals("eos") && !every.isEmpty()) {
            p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, every);
        }
        if (tune.equals("tuned-nocache")) {
            p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        }
        if (tune.startsWith("tuned")) {
            if (tune.equals("tuned")) {
                p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, Long.toString(512L << 20));
            }
            if (!mode.equals("eos")) {
                p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "1000");
            }
            p.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, "10000");
            p.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
            p.put(StreamsConfig.METRICS_RECORDING_LEVEL_CONFIG, "INFO");
            p.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, Rocks.class);
            p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), "5000");
            p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), "4194304");
            p.put(StreamsConfig.consumerPrefix(ConsumerConfig.RECEIVE_BUFFER_CONFIG), "1048576");
            p.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), "262144");
            p.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), "134217728");
            p.put(StreamsConfig.producerPrefix(ProducerConfig.SEND_BUFFER_CONFIG), "1048576");
        }
        return p;
    }

    /** Bloom filters and bigger memtables. The block cache is that of Kafka Streams, 50 MB a store. */
    public static final class Rocks implements RocksDBConfigSetter {
        @Override
        public void setConfig(String store, Options o, Map<String, Object> configs) {
            BlockBasedTableConfig t = (BlockBasedTableConfig) o.tableFormatConfig();
            t.setFilterPolicy(new BloomFilter(10, false));
            t.setCacheIndexAndFilterBlocks(false);
            o.setTableFormatConfig(t);
            o.setWriteBufferSize(64L << 20);
            o.setMaxWriteBufferNumber(3);
        }

        @Override
        public void close(String store, Options o) { }
    }

    static String env(String name, String otherwise) {
        String v = System.getenv(name);
        return v == null || v.isEmpty() ? otherwise : v;
    }
}

package bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/**
 * The Kafka Streams peer: exactly once, delivers each record to the readers that are granted its schema, and for
 * projecting views decodes it once, then filters, projects, masks and encodes it once per view.
 *
 * <p>Values that pass whole are never decoded; Avro decoders, encoders, records and buffers are reused.
 */
public final class Forward {
    private static final int WIRE_BYTES = 5;

    public static void main(String[] args) throws Exception {
        JsonNode task = new ObjectMapper().readTree(Path.of(args[0]).toFile());
        Topology topology = new Topology();
        topology.addSource("source", task.get("source").asText());
        List<String> inboxes = new ArrayList<>();
        task.get("views").forEach(view -> view.get("inboxes").forEach(inbox -> inboxes.add(inbox.asText())));
        topology.addProcessor("deliver", () -> new Deliver(task), "source");
        inboxes.forEach(inbox -> topology.addSink(inbox, inbox, "deliver"));
        KafkaStreams streams = new KafkaStreams(topology, properties(task));
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Properties properties(JsonNode task) {
        Properties set = new Properties();
        set.put("bootstrap.servers", task.get("servers").asText());
        set.put("application.id", task.get("name").asText());
        set.put("processing.guarantee", "exactly_once_v2");
        set.put("commit.interval.ms", "100");
        set.put("state.dir", task.get("folder").asText() + "/streams");
        set.put("default.key.serde", Serdes.ByteArraySerde.class);
        set.put("default.value.serde", Serdes.ByteArraySerde.class);
        set.put("metrics.recording.level", "INFO");
        // Large polls and a deep input queue, so that the one task never waits for the fetcher.
        set.put("input.buffer.max.bytes", String.valueOf(256 << 20));
        set.put("buffered.records.per.partition", "100000");
        set.put("consumer.max.poll.records", "20000");
        set.put("consumer.auto.offset.reset", "earliest");
        set.put("consumer.fetch.max.bytes", String.valueOf(50 << 20));
        set.put("consumer.max.partition.fetch.bytes", String.valueOf(8 << 20));
        set.put("consumer.receive.buffer.bytes", String.valueOf(1 << 20));
        // Large batches; a commit sends what still lingers.
        set.put("producer.batch.size", String.valueOf(512 << 10));
        set.put("producer.linger.ms", "20");
        // A commit's end is not awaited: the next transaction's first request is refused until it is there.
        set.put("producer.retry.backoff.ms", "5");
        set.put("producer.buffer.memory", String.valueOf(256 << 20));
        set.put("producer.max.request.size", String.valueOf(8 << 20));
        set.put("producer.send.buffer.bytes", String.valueOf(1 << 20));
        return set;
    }

    /** Looks up who may have a record, and hands each the value it is granted. */
    private static final class Deliver implements Processor<byte[], byte[], byte[], byte[]> {
        private final int schemaId;
        private final GenericDatumReader<GenericRecord> reader;
        private final Map<Integer, List<View>> granted;
        private final boolean decodes;
        private ProcessorContext<byte[], byte[]> context;
        private BinaryDecoder decoder;
        private GenericRecord decoded;

        Deliver(JsonNode task) {
            Schema schema = new Schema.Parser().parse(task.get("schema").asText());
            List<View> views = new ArrayList<>();
            task.get("views").forEach(view -> views.add(new View(view, schema)));
            schemaId = task.get("schema_id").asInt();
            reader = new GenericDatumReader<>(schema);
            granted = Map.of(schemaId, views);
            decodes = views.stream().anyMatch(view -> view.projects);
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            byte[] value = record.value();
            if (value == null || value.length < WIRE_BYTES || value[0] != 0) {
                return;
            }
            List<View> views = granted.get(ByteBuffer.wrap(value, 1, 4).getInt());
            if (views == null) {
                return;
            }
            try {
                if (decodes) {
                    decoder = DecoderFactory.get()
                            .binaryDecoder(value, WIRE_BYTES, value.length - WIRE_BYTES, decoder);
                    decoded = reader.read(decoded, decoder);
                }
                for (View view : views) {
                    if (!view.projects) {
                        deliver(view, record);
                    } else if (view.takes(decoded)) {
                        byte[] key = view.keepsKey ? record.key() : null;
                        deliver(view, new Record<>(key, view.encode(decoded), record.timestamp()));
                    }
                }
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        private void deliver(View view, Record<byte[], byte[]> record) {
            for (String inbox : view.inboxes) {
                context.forward(record, inbox);
            }
        }
    }

    /** What some readers get of a record. */
    private static final class View {
        final List<String> inboxes = new ArrayList<>();
        final boolean projects;
        boolean keepsKey;
        private int column = -1;
        private int atLeast;
        private int masked = -1;
        private int keeps;
        private int[] positions;
        private byte[] head;
        private GenericData.Record projected;
        private GenericDatumWriter<GenericRecord> writer;
        private BinaryEncoder encoder;
        private final ByteArrayOutputStream out = new ByteArrayOutputStream(512);

        View(JsonNode told, Schema whole) {
            told.get("inboxes").forEach(inbox -> inboxes.add(inbox.asText()));
            projects = told.has("schema");
            if (projects) {
                Schema schema = new Schema.Parser().parse(told.get("schema").asText());
                projected = new GenericData.Record(schema);
                writer = new GenericDatumWriter<>(schema);
                positions = schema.getFields().stream().mapToInt(f -> whole.getField(f.name()).pos()).toArray();
                head = ByteBuffer.allocate(WIRE_BYTES).put((byte) 0).putInt(told.get("schema_id").asInt()).array();
                keepsKey = told.get("keeps_key").asBoolean();
                column = told.get("column").isNull() ? -1 : whole.getField(told.get("column").asText()).pos();
                atLeast = told.get("at_least").asInt();
                masked = told.get("masked").isNull() ? -1 : schema.getField(told.get("masked").asText()).pos();
                keeps = told.get("keeps").asInt();
            }
        }

        boolean takes(GenericRecord record) {
            return column < 0 || ((Number) record.get(column)).intValue() >= atLeast;
        }

        byte[] encode(GenericRecord record) throws IOException {
            for (int i = 0; i < positions.length; i++) {
                Object value = record.get(positions[i]);
                projected.put(i, i == masked ? mask(value.toString()) : value);
            }
            out.reset();
            out.write(head);
            encoder = EncoderFactory.get().directBinaryEncoder(out, encoder);
            writer.write(projected, encoder);
            return out.toByteArray();
        }

        private String mask(String text) {
            int shown = text.length() > keeps ? keeps : 0;
            return text.substring(0, shown) + "*".repeat(text.length() - shown);
        }
    }

    private Forward() {}
}

package kafka

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"unsafe"

	"github.com/seed-81380e12/limpet/core"
)

// A record batch, magic 2, as it lies in the log and in requests: a head, then records.
//
//	 0 base offset        int64
//	 8 length             int32   of what follows
//	12 leader epoch       int32
//	16 magic              int8    2
//	17 CRC-32C            uint32  of what follows
//	21 attributes         int16   codec 0-2, append time 3, transactional 4, control 5
//	23 last offset delta  int32   compaction keeps it when it removes records
//	27 base timestamp     int64
//	35 max timestamp      int64
//	43 producer id        int64
//	51 producer epoch     int16
//	53 base sequence      int32
//	57 records            int32
const (
	headBytes    = 61
	attrCodec    = 0x07
	attrAppended = 0x08
	attrTxn      = 0x10
	attrControl  = 0x20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errBatch  = errors.New("kafka: malformed record batch")
	errCRC    = errors.New("kafka: a record batch has a wrong checksum")
	errLegacy = errors.New("kafka: the topic holds messages of a format before Kafka 0.11, which this client does not read")
)

// aborted is a transaction whose records are to be left out: those of the producer from
// first on, up to its next abort marker.
type aborted struct{ producer, first int64 }

// decoder turns record batches into records.
//
// The records alias the bytes that they are decoded from, which nobody may change from
// then on: there is one allocation for the bytes (by who read them), and one, of the
// exact size, for the records.
type decoder struct {
	inflater inflater
	lease    *lease  // where records and decompressed batches go to
	aborted  []int64 // producers in an aborted transaction, at this point of the log
}

// decoded are the committed records of a run of batches.
type decoded struct {
	records []core.RawRecord
	next    core.Offset // behind all batches that were whole, and taken
	bytes   int         // memory that records hold
	headers bool        // some record has headers
}

// recordMin is how many bytes a record takes at least.
const recordMin = 7

const recordBytes = int(unsafe.Sizeof(core.RawRecord{}))

// decode reads the records at and behind from out of raw, whose last batch may be cut
// off. It leaves out control records and those of aborted transactions. Compressed batches can
// be of a hundred times their size: behind the one with which the records take limit bytes or
// more, nothing is read, and of one that takes eight times that alone, only so much.
func (d *decoder) decode(raw []byte, from core.Offset, txns []aborted, limit int) (out decoded, err error) {
	out.next = from
	piece := max(pieceMin, 8*min(limit, inflatedMax/8))
	count, err := check(raw, from, piece/recordBytes)
	if err != nil {
		return out, err
	}
	out.bytes = len(raw)
	if count > 0 {
		if out.records = d.lease.records[:0]; cap(out.records) < count {
			out.records = make([]core.RawRecord, 0, count)
		}
	}
	// Brokers do not promise an order.
	slices.SortFunc(txns, func(a, b aborted) int { return cmp.Compare(a.first, b.first) })
	d.aborted = d.aborted[:0]
	for b, rest := cutBatch(raw); b != nil; b, rest = cutBatch(rest) {
		last := b.lastOffset()
		for len(txns) > 0 && txns[0].first <= last {
			d.aborted = append(d.aborted, txns[0].producer)
			txns = txns[1:]
		}
		attrs, producer := b.attributes(), b.producer()
		if attrs&attrControl != 0 && abortMarker(b[headBytes:]) {
			d.aborted = slices.DeleteFunc(d.aborted, func(p int64) bool { return p == producer })
		}
		if core.Offset(last) < from {
			continue
		}
		if last < b.base() || core.Offset(b.base()) < out.next && out.next > from {
			return out, b.wrong(errBatch) // the order of offsets is what everything stands on
		}
		if attrs&attrControl != 0 || attrs&attrTxn != 0 && slices.Contains(d.aborted, producer) || b.count() == 0 {
			out.next = core.Offset(last) + 1
			continue
		}
		body := []byte(b[headBytes:])
		if codec := int(attrs & attrCodec); codec != codecNone {
			if out.bytes > limit && len(out.records) > 0 {
				break
			}
			whole, err := d.inflated(&out, b, from, piece)
			if err != nil {
				return out, b.wrong(err)
			}
			if !whole {
				break
			}
			out.next = core.Offset(last) + 1
			continue
		}
		out.next = core.Offset(last) + 1
		if err = b.records(&out, body, b.count(), from); err != nil {
			return out, b.wrong(err)
		}
	}
	if len(out.records) == 0 {
		out.records, out.bytes = nil, 0 // nothing refers to raw
		return out, nil
	}
	d.lease.records = out.records
	out.bytes += cap(out.records) * recordBytes
	return out, nil
}

// check verifies the whole batches and counts the records that may be wanted, of those that are
// compressed most at most.
func check(raw []byte, from core.Offset, most int) (records int, err error) {
	packed := 0
	for b, rest := cutBatch(raw); b != nil; b, rest = cutBatch(rest) {
		if b[16] != 2 {
			return 0, b.wrong(errLegacy)
		}
		if len(b) < headBytes {
			return 0, b.wrong(errBatch)
		}
		if crc32.Checksum(b[21:], castagnoli) != binary.BigEndian.Uint32(b[17:]) {
			return 0, b.wrong(errCRC)
		}
		if core.Offset(b.lastOffset()) < from || b.attributes()&attrControl != 0 {
			continue
		}
		n := b.count()
		// A wrong count must not make us allocate much. What is compressed is counted when it is
		// there; the guess is for batches that are not compressed by much.
		compressed := b.attributes()&attrCodec != codecNone
		if n < 0 || !compressed && n > len(b)/recordMin {
			return 0, b.wrong(errBatch)
		}
		if compressed {
			packed += min(n, len(b)/recordMin)
		} else {
			records += n
		}
	}
	return records + min(packed, most), nil
}

// batch is one whole record batch.
type batch []byte

// cutBatch cuts the first batch off; nil: what is left is not whole.
func cutBatch(raw []byte) (b batch, rest []byte) {
	if len(raw) < 17 {
		return nil, nil
	}
	n := 12 + int(int32(binary.BigEndian.Uint32(raw[8:])))
	if n < 17 || n > len(raw) {
		return nil, nil
	}
	return batch(raw[:n:n]), raw[n:]
}

func (b batch) base() int64       { return int64(binary.BigEndian.Uint64(b)) }
func (b batch) attributes() int16 { return int16(binary.BigEndian.Uint16(b[21:])) }
func (b batch) lastOffset() int64 { return b.base() + int64(int32(binary.BigEndian.Uint32(b[23:]))) }
func (b batch) baseTime() int64   { return int64(binary.BigEndian.Uint64(b[27:])) }
func (b batch) maxTime() int64    { return int64(binary.BigEndian.Uint64(b[35:])) }
func (b batch) producer() int64   { return int64(binary.BigEndian.Uint64(b[43:])) }
func (b batch) count() int        { return int(int32(binary.BigEndian.Uint32(b[57:]))) }

// wrong says where a batch lies that cannot be read.
func (b batch) wrong(err error) error {
	return fmt.Errorf("%w (batch at offset %d)", err, b.base())
}

// abortMarker tells whether a control batch's record ends a transaction by aborting it.
// Its key is a version and a type, both int16; type 0 is abort.
func abortMarker(body []byte) bool {
	r := reader{b: body}
	r.varint() // length
	r.int8()
	r.varint() // time
	r.varint() // offset
	key := r.bytes()
	return !r.bad && len(key) >= 4 && key[2] == 0 && key[3] == 0
}

// records appends those at and behind from of the count records of body. This loop is the hot path of
// everything that is read.
func (b batch) records(d *decoded, body []byte, count int, from core.Offset) error {
	out := d.records
	base, first := b.base(), b.baseTime()
	appended := int64(-1)
	if b.attributes()&attrAppended != 0 {
		appended = b.maxTime() // the broker's clock, for all of the batch
	}
	r := reader{b: body}
	before, most := int64(-1), b.lastOffset()-base
	for n := count; n > 0; n-- {
		size := int(r.varint())
		if r.bad || size < 0 || size > len(r.b)-r.at {
			return errBatch
		}
		end := r.at + size
		r.at++ // attributes: none are defined
		ts := first + r.varint()
		delta := r.varint()
		offset := core.Offset(base + delta)
		key, value := r.bytes(), r.bytes()
		headers := r.varint()
		if r.bad || r.at > end || delta <= before || delta > most {
			return errBatch
		}
		before = delta
		if offset >= from {
			if appended >= 0 {
				ts = appended
			}
			rec := core.RawRecord{Key: key, Value: value, Time: core.Time(ts), Offset: offset}
			if headers > 0 {
				rec.Headers = r.b[r.at:end:end] // as core keeps them
				d.headers = true
			}
			out = append(out, rec)
		}
		r.at = end
	}
	d.records = out
	return nil
}

// reader reads the fields of records.
type reader struct {
	b   []byte
	at  int
	bad bool
}

// varint reads a zigzag varint. Most are one byte.
func (r *reader) varint() int64 {
	if r.at < len(r.b) && r.b[r.at] < 0x80 {
		u := uint64(r.b[r.at])
		r.at++
		return int64(u>>1) ^ -int64(u&1)
	}
	return r.longVarint()
}

func (r *reader) longVarint() int64 {
	if r.at+1 < len(r.b) && r.b[r.at+1] < 0x80 { // two: lengths from 64 on
		u := uint64(r.b[r.at]&0x7f) | uint64(r.b[r.at+1])<<7
		r.at += 2
		return int64(u>>1) ^ -int64(u&1)
	}
	v, n := binary.Varint(r.b[min(r.at, len(r.b)):])
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.at += n
	return v
}

func (r *reader) int8() {
	if r.at++; r.at > len(r.b) {
		r.bad = true
	}
}

// bytes reads a length and that many bytes; a negative length is null.
func (r *reader) bytes() []byte {
	n := int(r.varint())
	if n < 0 || r.bad {
		return nil
	}
	if n > len(r.b)-r.at {
		r.bad = true
		return nil
	}
	b := r.b[r.at : r.at+n : r.at+n]
	r.at += n
	return b
}

// writer encodes record batches for produce requests. It is not safe for concurrent use.
type writer struct {
	codec    int8
	deflater deflater
	plain    []byte // records before they are compressed
	whole    []byte // a batch of which the length is not known before
}

// producerState is what a batch says of who wrote it.
type producerState struct {
	id    int64
	epoch int16
	txn   bool
}

// recordSize is what record number i of a batch takes, without its length.
func recordSize(r *core.RawRecord, i int, first core.Time) int {
	n := 1 + varintLen(int64(r.Time-first)) + varintLen(int64(i))
	n += bytesLen(r.Key) + bytesLen(r.Value)
	if len(r.Headers) == 0 {
		return n + 1
	}
	return n + varintLen(int64(countHeaders(r.Headers))) + len(r.Headers)
}

func bytesLen(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(int64(len(b))) + len(b)
}

func varintLen(v int64) int {
	u, n := uint64(v<<1)^uint64(v>>63), 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}

func countHeaders(raw []byte) int { return core.HeadersOf(raw).Count() }

// append appends one batch. The same records, sequence and producer make the same batch
// again, so that a batch that must be sent again need not be kept.
func (w *writer) append(dst []byte, records []core.RawRecord, p producerState, sequence int32) ([]byte, error) {
	at := len(dst)
	first, last := records[0].Time, records[0].Time
	for i := range records {
		last = max(last, records[i].Time)
	}
	dst = append(dst, make([]byte, headBytes)...)
	if w.codec == codecNone {
		dst = appendRecords(dst, records, first)
	} else {
		w.plain = appendRecords(w.plain[:0], records, first)
		var err error
		if dst, err = w.deflater.deflate(w.codec, dst, w.plain); err != nil {
			return dst, fmt.Errorf("kafka: compress a record batch: %w", err)
		}
	}
	b := dst[at:]
	attrs := int16(w.codec)
	if p.txn {
		attrs |= attrTxn
	}
	be := binary.BigEndian
	be.PutUint32(b[8:], uint32(len(b)-12))
	be.PutUint32(b[12:], 0xffffffff) // the leader's epoch: the broker sets it
	b[16] = 2
	be.PutUint16(b[21:], uint16(attrs))
	be.PutUint32(b[23:], uint32(len(records)-1))
	be.PutUint64(b[27:], uint64(first))
	be.PutUint64(b[35:], uint64(last))
	be.PutUint64(b[43:], uint64(p.id))
	be.PutUint16(b[51:], uint16(p.epoch))
	be.PutUint32(b[53:], uint32(sequence))
	be.PutUint32(b[57:], uint32(len(records)))
	be.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return dst, nil
}

func appendRecords(dst []byte, records []core.RawRecord, first core.Time) []byte {
	for i := range records {
		r := &records[i]
		dst = binary.AppendVarint(dst, int64(recordSize(r, i, first)))
		dst = append(dst, 0)
		dst = binary.AppendVarint(dst, int64(r.Time-first))
		dst = binary.AppendVarint(dst, int64(i))
		dst = appendBytes(dst, r.Key)
		dst = appendBytes(dst, r.Value)
		if len(r.Headers) == 0 {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendVarint(dst, int64(countHeaders(r.Headers)))
		dst = append(dst, r.Headers...)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // -1
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

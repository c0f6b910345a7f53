package kafka

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/seed-81380e12/limpet/core"
)

// pieceMin is how much of a compressed batch is read at once at least.
const pieceMin = 1 << 20

// inflated reads the records of a compressed batch, as many as take piece bytes.
func (d *decoder) inflated(out *decoded, b batch, from core.Offset, piece int) (whole bool, err error) {
	codec, count, whole := int(b.attributes()&attrCodec), b.count(), true
	body, err := d.inflater.inflate(codec, d.lease.body(), b[headBytes:], piece)
	switch {
	case errors.Is(err, errInflated), err == nil && count <= len(body)/recordMin && len(body)+count*recordBytes > piece:
		if body, count, whole, err = d.piece(codec, b, from, piece); err != nil {
			return false, inflateError(codec, err)
		}
	case err != nil:
		return false, err
	case count > len(body)/recordMin:
		return false, errBatch
	}
	d.lease.keep(body)
	out.bytes += len(body)
	out.records = slices.Grow(out.records, count)
	if err := b.records(out, body, count, from); err != nil || whole {
		return whole, err
	}
	out.next = out.records[len(out.records)-1].Offset + 1
	return false, nil
}

// piece decompresses records at and behind from, one at least, and as many as take size bytes with
// what they become. It is for batches that take more than may be held: all before from is decompressed
// once more for each piece, and is not kept.
func (d *decoder) piece(codec int, b batch, from core.Offset, size int) (body []byte, count int, whole bool, err error) {
	src, err := d.inflater.reader(codec, b[headBytes:])
	if err != nil {
		return nil, 0, false, err
	}
	if c, ok := src.(*zstd.Decoder); ok {
		defer c.Close()
	}
	body = d.lease.body()
	r := bufio.NewReaderSize(src, 64<<10)
	for range b.count() {
		n, err := binary.ReadVarint(r)
		if err == nil && (n < 0 || n > inflatedMax) {
			err = errBatch
		}
		if err != nil {
			return nil, 0, false, cutOff(err)
		}
		const most = 1 + 2*binary.MaxVarintLen64 // attributes, time, offset
		head, err := r.Peek(int(min(n, most)))
		if err != nil {
			return nil, 0, false, cutOff(err)
		}
		f := reader{b: head, at: 1}
		f.varint()
		if delta := f.varint(); f.bad {
			return nil, 0, false, errBatch
		} else if core.Offset(b.base()+delta) < from {
			if _, err := r.Discard(int(n)); err != nil {
				return nil, 0, false, cutOff(err)
			}
			continue
		}
		if count > 0 && len(body)+varintLen(n)+int(n)+(count+1)*recordBytes > size {
			return body, count, false, nil
		}
		body = binary.AppendVarint(body, n)
		for n > 0 { // what it claims to be is believed as it comes
			part := min(int(n), pieceMin)
			at := len(body)
			body = slices.Grow(body, part)[:at+part]
			if _, err := io.ReadFull(r, body[at:]); err != nil {
				return nil, 0, false, cutOff(err)
			}
			n -= int64(part)
		}
		count++
	}
	return body, count, true, nil
}

// cutOff is what the end of a batch within a record is.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errBatch
	}
	return err
}

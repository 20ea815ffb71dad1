package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

// header is the length of a frame's length.
const header = 4

// chunk is how much memory a frame gets before its bytes are there: who only
// claims four megabytes does not get them.
const chunk = 64 << 10

// WriteFrame writes a message as one frame, in one call of w.Write, so that
// frames of several writers are only ever mixed whole if w takes each Write as
// a whole.
func WriteFrame(w io.Writer, message any) error {
	data, err := Encode(message)
	if err != nil {
		return err
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, header+len(data)), uint32(len(data))) // Encode bounds it
	if _, err := w.Write(append(frame, data...)); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}

// ReadFrame reads the next frame and decodes its message; one that this
// program does not know is an Unknown. It reads no byte beyond the frame. At
// the end of the stream it returns io.EOF itself, in the middle of a frame an
// io.ErrUnexpectedEOF; what can not be read is ErrMalformed, and the stream is
// of no use after it.
func ReadFrame(r io.Reader) (any, error) {
	data, err := readFrame(r)
	if err != nil {
		return nil, err
	}
	return Decode(data)
}

// ReadOpening is ReadFrame for the first frame of a connection, which whoever
// sent it may not be a neighbour yet: only a Hello or a Refuse is decoded. Any
// other message is an Unknown, and costs no more memory than its bytes.
func ReadOpening(r io.Reader) (any, error) {
	data, err := readFrame(r)
	if err != nil {
		return nil, err
	}
	if number, n := binary.Uvarint(data); n > 0 && number != numberHello && number != numberRefuse {
		return Unknown{Type: number}, nil
	}
	return Decode(data)
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [header]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		if err == io.EOF { // io.ReadFull returns it bare
			return nil, io.EOF
		}
		return nil, fmt.Errorf("read frame: %w", err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 || n > MaxFrame {
		return nil, fmt.Errorf("%w: frame of %d bytes, 1 to %d allowed", ErrMalformed, n, MaxFrame)
	}
	return readExactly(r, int(n))
}

// readExactly reads n bytes into memory that grows with what has come.
func readExactly(r io.Reader, n int) ([]byte, error) {
	data := make([]byte, 0, min(n, chunk))
	for len(data) < n {
		if len(data) == cap(data) {
			grown := make([]byte, len(data), min(n, 2*cap(data)))
			copy(grown, data)
			data = grown
		}
		piece := data[len(data):cap(data)]
		if _, err := io.ReadFull(r, piece); err != nil {
			if err == io.EOF { // io.ReadFull returns it bare
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("read frame: %w", err)
		}
		data = data[:cap(data)]
	}
	return data, nil
}

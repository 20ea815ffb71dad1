package wire

import (
	"bytes"
	"encoding/xml"
)

// document is XML in the making.
type document struct {
	buffer  bytes.Buffer
	encoder *xml.Encoder
}

func (d *document) begin() {
	if d.encoder == nil {
		d.buffer.WriteString(xml.Header)
		d.encoder = xml.NewEncoder(&d.buffer)
	}
}

// element adds a value under a name. An encoder of the types of this package
// into memory fails by a mistake in them alone.
func (d *document) element(value any, name, namespace string) {
	d.begin()
	start := xml.StartElement{Name: xml.Name{Local: name}}
	if namespace != "" {
		start.Attr = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}
	}
	if err := d.encoder.EncodeElement(value, start); err != nil {
		panic(err)
	}
}

func (d *document) token(t xml.Token) {
	d.begin()
	if err := d.encoder.EncodeToken(t); err != nil {
		panic(err)
	}
}

func (d *document) bytes() []byte {
	d.begin()
	if err := d.encoder.Flush(); err != nil {
		panic(err)
	}
	return d.buffer.Bytes()
}

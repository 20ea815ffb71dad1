package main

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\nDate: x\r\n\r\n"
	for _, tt := range []struct {
		name, text string
		want       answer
		whole      bool
		fails      bool
	}{
		{"nothing yet", "", answer{}, false, false},
		{"half of the head", head[:30], answer{}, false, false},
		{"half of the body", head + "hel", answer{status: 200, size: len(head) + 5}, false, false},
		{"whole", head + "hello", answer{status: 200, size: len(head) + 5, body: []byte("hello")}, true, false},
		{"no body", "HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n", answer{status: 429, size: 44}, true, false},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", answer{}, false, true},
		{"another protocol", "SSH-2.0-x\r\n\r\n", answer{}, false, true},
		{"no status", "HTTP/1.1 abc\r\n\r\n", answer{}, false, true},
		{"no number", "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", answer{}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, whole, err := parse([]byte(tt.text))
			if (err != nil) != tt.fails || whole != tt.whole {
				t.Fatalf("parse = %+v, %v, %v", got, whole, err)
			}
			if tt.fails {
				return
			}
			if got.status != tt.want.status || got.size != tt.want.size || !bytes.Equal(got.body, tt.want.body) {
				t.Errorf("parse = %+v, want %+v", got, tt.want)
			}
			if whole && len(got.head) > 0 && !bytes.HasSuffix(got.head, []byte("\r\n")) {
				t.Errorf("head = %q, want whole lines", got.head)
			}
		})
	}
}

// TestExchange has an answer come byte by byte, larger than the first buffer,
// and another one after it.
func TestExchange(t *testing.T) {
	client, server := net.Pipe()
	body := strings.Repeat("x", 10_000)
	go func() {
		for _, b := range []string{body, "second"} {
			request := make([]byte, 2)
			_, _ = io.ReadFull(server, request)
			text := "HTTP/1.1 200 OK\r\nContent-Length: " + map[bool]string{true: "10000", false: "6"}[b == body] + "\r\n\r\n" + b
			for _, part := range []string{text[:3], text[3:40], text[40:]} {
				_, _ = io.WriteString(server, part)
			}
		}
		_ = server.Close()
	}()
	c := &conn{net: client, buf: make([]byte, 16)}
	for _, want := range []string{body, "second"} {
		a, err := c.do([]byte("GO"))
		if err != nil || string(a.body) != want {
			t.Fatalf("do = %d bytes, %v, want %d", len(a.body), err, len(want))
		}
	}
	if _, err := c.do([]byte("GO")); err == nil {
		t.Error("do on a closed connection: no error")
	}
}

// TestHammerNoticesWrongAnswers makes sure that no figure counts them.
func TestHammerNoticesWrongAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"status": "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nok",
		"body":   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
	} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			go func() {
				request := make([]byte, 2)
				for {
					if _, err := io.ReadFull(server, request); err != nil {
						return
					}
					_, _ = io.WriteString(server, answer)
				}
			}()
			c := &conn{net: client, buf: make([]byte, 100)}
			defer c.close()
			_, err := hammerOver(t.Context(), []*conn{c}, hammering{time.Millisecond, same([]byte("GO")), []byte("ok")})
			if err == nil {
				t.Error("no error")
			}
		})
	}
}

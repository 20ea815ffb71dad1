package replica

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// codec is the pair of functions of one noun.
type codec struct {
	name   string
	noun   any // the zero value
	encode func(any) ([]byte, error)
	decode func([]byte) (any, error)
}

func codecOf[T Noun](name string, enc func(T) ([]byte, error), dec func([]byte) (T, error)) codec {
	var zero T
	return codec{name, zero, func(v any) ([]byte, error) { return enc(v.(T)) }, func(b []byte) (any, error) { return dec(b) }}
}

func codecs() []codec {
	return []codec{
		codecOf("user", EncodeUser, DecodeUser),
		codecOf("label", EncodeLabel, DecodeLabel),
		codecOf("node", EncodeNode, DecodeNode),
		codecOf("location", EncodeLocation, DecodeLocation),
		codecOf("service_mapping", EncodeServiceMapping, DecodeServiceMapping),
		codecOf("application", EncodeApplication, DecodeApplication),
		codecOf("application_state", EncodeApplicationState, DecodeApplicationState),
		codecOf("application_task", EncodeApplicationTask, DecodeApplicationTask),
		codecOf("resource", EncodeResource, DecodeResource),
		codecOf("retirement", EncodeRetirement, DecodeRetirement),
		codecOf("handover", EncodeHandover, DecodeHandover),
		codecOf("ownership", EncodeOwnership, DecodeOwnership),
		codecOf("resource_access", EncodeResourceAccess, DecodeResourceAccess),
		codecOf("access_use", EncodeAccessUse, DecodeAccessUse),
	}
}

// fill draws a value for every field of the model, so that a field that is
// added there and forgotten here fails the round trip.
func fill(t *rapid.T, v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		if ns := rapid.Int64().Draw(t, "ns"); ns != 0 {
			v.Set(reflect.ValueOf(time.Unix(0, ns).UTC()))
		}
		return
	case json.RawMessage:
		v.SetBytes([]byte(rapid.SampledFrom([]string{
			"null", `{}`, `{"b": 1.0e+2,  "a":[1 ,2], "<&>": "\u00e9é"}`, "[\n]", `"x"`, `{"a":1,"a":2}`, `18446744073709551617.10`,
		}).Draw(t, "raw")))
		return
	case model.UID:
		v.Set(reflect.ValueOf(drawUID(t)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
		if vote, ok := v.Addr().Interface().(*model.Vote); ok && vote.Cached {
			vote.Coming = false // what is at hand is not on its way
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "present") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		}
	case reflect.Slice:
		n := rapid.IntRange(-1, 2).Draw(t, "len")
		if n < 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(t, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		fill(t, value)
		v.SetMapIndex(reflect.ValueOf(rapid.String().Draw(t, "key")), value)
	case reflect.String:
		v.SetString(rapid.StringN(1, 20, -1).Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "uint") >> (64 - v.Type().Bits()))
	default:
		t.Fatalf("no generator for %s", v.Type())
	}
}

func drawUID(t *rapid.T) model.UID {
	uid := model.UID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uid"))
	uid[6] |= 0x40 // never nil
	return uid
}

func TestRoundTrip(t *testing.T) {
	for _, c := range codecs() {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				noun := reflect.New(reflect.TypeOf(c.noun)).Elem()
				fill(t, noun)
				body, err := c.encode(noun.Interface())
				if err != nil {
					t.Fatal(err)
				}
				got, err := c.decode(body)
				if err != nil {
					t.Fatalf("decode %s: %v", body, err)
				}
				if diff := cmp.Diff(noun.Interface(), got); diff != "" {
					t.Fatalf("%s: (-want +got)\n%s", body, diff)
				}
				again, err := c.encode(got)
				if err != nil || !bytes.Equal(body, again) {
					t.Fatalf("encoded again: %s, %v; want %s", again, err, body)
				}
			})
		})
	}
}

// TestRoundTripOfNothing keeps what is absent absent.
func TestRoundTripOfNothing(t *testing.T) {
	want := model.ApplicationTask{UID: model.UID{1}, ApplicationUID: model.UID{2}}
	body, err := EncodeApplicationTask(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeApplicationTask(body)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestDecodeHostile(t *testing.T) {
	bodies := map[string]string{
		"nothing": "", "null": "null", "list": "[]", "text": `"x"`, "empty object": "{}", "cut": `{"uid":"`,
		"trailing": `{"uid":"11111111-1111-4111-8111-111111111111","name":"n","app":"11111111-1111-4111-8111-111111111111"} x`,
		"bad uid":  `{"uid":"x","node":"x","name":1}`, "nil uid": `{"uid":"00000000-0000-0000-0000-000000000000"}`,
		"deep": strings.Repeat(`{"uid":`, 20000), "wrong types": `{"uid":7,"name":{},"node":[],"hlc":"x"}`,
	}
	for _, c := range codecs() {
		for name, body := range bodies {
			if got, err := c.decode([]byte(body)); err == nil {
				t.Errorf("%s, %s: decoded as %v, want an error", c.name, name, got)
			}
		}
		t.Run(c.name, rapid.MakeCheck(func(t *rapid.T) {
			noun := reflect.New(reflect.TypeOf(c.noun)).Elem()
			fill(t, noun)
			body, err := c.encode(noun.Interface())
			if err != nil {
				t.Fatal(err)
			}
			at := rapid.IntRange(0, len(body)-1).Draw(t, "at")
			broken := append(append(bytes.Clone(body[:at]), rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "bytes")...), body[at+1:]...)
			_, _ = c.decode(broken) // must not panic
			if _, err := c.decode(body[:at]); err == nil {
				t.Fatalf("decoded the cut body %s", body[:at])
			}
		}))
	}
}

func TestDecodePartThatIsNotJSON(t *testing.T) {
	_, err := DecodeApplication([]byte(`{"uid":"11111111-1111-4111-8111-111111111111","meta":"{oops"}`))
	if err == nil || !strings.Contains(err.Error(), "not JSON") {
		t.Errorf("error %v, want one that says what is not JSON", err)
	}
}

func TestEncodeTooLarge(t *testing.T) {
	_, err := EncodeLocation(model.Location{Name: "n", Description: strings.Repeat("x", MaxBody)})
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v, want ErrTooLarge", err)
	}
}

// TestAccessTooLarge: what every node has in memory is refused by who writes it
// and by who reads it.
func TestAccessTooLarge(t *testing.T) {
	long := strings.Repeat("x", maxPublicKey+1)
	for name, a := range map[string]model.ResourceAccess{
		"digest": {Digest: make([]byte, maxDigest+1)}, "key": {PublicKey: []byte(long)}, "user": {UserName: long},
	} {
		a.UID, a.ResourceUID, a.ApplicationUID = uid(1), uid(2), uid(3)
		if _, err := EncodeResourceAccess(a); !errors.Is(err, ErrTooLarge) {
			t.Errorf("access with a long %s: error %v, want ErrTooLarge", name, err)
		}
		body, err := encode("x", wireAccess{UID: a.UID, Resource: a.ResourceUID, Application: a.ApplicationUID, User: a.UserName, Digest: a.Digest, Key: a.PublicKey})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeResourceAccess(body); !errors.Is(err, ErrTooLarge) {
			t.Errorf("access with a long %s: read with %v, want ErrTooLarge", name, err)
		}
	}
	for name, u := range map[string]model.AccessUse{"client": {Client: long}, "host key": {HostKey: []byte(long)}, "user": {UserName: long}} {
		u.AccessUID, u.ResourceUID, u.ApplicationUID = uid(1), uid(2), uid(3)
		if _, err := EncodeAccessUse(u); !errors.Is(err, ErrTooLarge) {
			t.Errorf("use with a long %s: error %v, want ErrTooLarge", name, err)
		}
		body, err := encode("x", wireUse{Access: u.AccessUID, Resource: u.ResourceUID, Application: u.ApplicationUID, User: u.UserName, Client: u.Client, HostKey: u.HostKey})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeAccessUse(body); !errors.Is(err, ErrTooLarge) {
			t.Errorf("use with a long %s: read with %v, want ErrTooLarge", name, err)
		}
	}
}

func TestRewrite(t *testing.T) {
	tests := []struct{ name, old, updated, want string }{
		{"nothing strange", `{"a":1,"b":2}`, `{"a":3,"b":4}`, `{"a":3,"b":4}`},
		{"kept verbatim and in order", `{"z":{"x": 1.50},"a":1,"c":"é<\u00e9"}`, `{"a":2}`, `{"a":2,"z":{"x": 1.50},"c":"é<\u00e9"}`},
		{"big number", `{"n":123456789012345678901234567890}`, `{"a":null}`, `{"a":null,"n":123456789012345678901234567890}`},
		{"same key in another case", `{"NAME":"evil","ſ":1}`, `{"name":"good","s":2}`, `{"name":"good","s":2}`},
		{"key twice", `{"n":1,"n":2}`, `{"a":1}`, `{"a":1,"n":2}`},
		{"empty", `{"n":1}`, `{ }`, `{"n":1}`},
		{"old is broken", `{"n":`, `{"a":1}`, `{"a":1}`},
		{"old is no object", `[1]`, `{"a":1}`, `{"a":1}`},
		{"old is null", `null`, `{"a":1}`, `{"a":1}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Rewrite([]byte(tt.old), []byte(tt.updated))
			if err != nil || string(got) != tt.want {
				t.Errorf("Rewrite = %s, %v, want %s", got, err, tt.want)
			}
		})
	}
	for _, bad := range []string{"", "null", "[]", "{"} {
		if got, err := Rewrite([]byte(`{"n":1}`), []byte(bad)); err == nil {
			t.Errorf("Rewrite to %q = %s, want an error", bad, got)
		}
	}
}

// TestRewriteOfNouns changes a noun in place that a newer program extended.
func TestRewriteOfNouns(t *testing.T) {
	for _, c := range codecs() {
		t.Run(c.name, rapid.MakeCheck(func(t *rapid.T) {
			before, after := reflect.New(reflect.TypeOf(c.noun)).Elem(), reflect.New(reflect.TypeOf(c.noun)).Elem()
			fill(t, before)
			fill(t, after)
			old, err := c.encode(before.Interface())
			if err != nil {
				t.Fatal(err)
			}
			extended := append(bytes.TrimSuffix(old, []byte("}")), `,"future":{"x": [1, 2]}}`...)
			updated, err := c.encode(after.Interface())
			if err != nil {
				t.Fatal(err)
			}
			got, err := Rewrite(extended, updated)
			if err != nil || !bytes.HasSuffix(got, []byte(`,"future":{"x": [1, 2]}}`)) {
				t.Fatalf("Rewrite = %s, %v", got, err)
			}
			kind, _ := kindOf(after.Interface())
			if noun, err := c.decode(got); err != nil || !kind.Immutable() && !cmp.Equal(noun, after.Interface()) {
				t.Fatalf("decode %s: %v\n%s", got, err, cmp.Diff(after.Interface(), noun))
			}
		}))
	}
}

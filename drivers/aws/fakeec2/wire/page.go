package wire

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
)

// pager makes the tokens of pages. A token holds the last thing that was
// listed, and a seal: nothing has to be remembered, things that come and go
// between two pages hide no others, and a token that was not given out, or for
// another question, is known.
type pager struct{ key []byte }

func newPager() pager {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return pager{key}
}

func (p pager) seal(question, last string) string {
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(question + "\x00" + last))
	return string(mac.Sum(nil))
}

func (p pager) token(question, last string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.seal(question, last) + last))
}

// last is what a token says; ok is whether it was given out for the question.
func (p pager) last(question, token string) (last string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < sha256.Size {
		return "", false
	}
	last = string(raw[sha256.Size:])
	return last, hmac.Equal(raw[:sha256.Size], []byte(p.seal(question, last)))
}

// turn is which page is asked for.
type turn struct {
	pager
	question string // all parameters but those of the page
	size     int
	after    string // the last thing of the page before
	started  bool   // there was a page before
}

// turn reads the parameters of a page. Those that list ids can not ask for
// pages at EC2, and their answer has all.
func (h *Handler) turn(f form, p paging) turn {
	t := turn{pager: h.pages, size: h.opts.PageSize, question: p.salt}
	for _, name := range f.names() {
		if name != p.tokenName && name != p.sizeName {
			t.question += "\x00" + name + "\x00" + f.values[name]
		}
	}
	if f.has(p.sizeName) {
		n := f.number(p.sizeName)
		if n < p.least || n > p.most {
			f.fail(p.wrongSize, "Value ( %d ) for parameter %s is invalid. Expecting a value from %d to %d.", n, p.sizeName, p.least, p.most)
		}
		t.size = min(t.size, n)
	}
	if token := f.text(p.tokenName); token != "" {
		var ok bool
		if t.after, ok = t.last(t.question, token); !ok {
			f.fail(p.wrongToken, "The specified %s is not valid for this request.", p.tokenName)
		}
		t.started = true
	}
	return t
}

// paging is how a list is asked for by pages.
type paging struct {
	salt                  string // the action
	sizeName, tokenName   string
	least, most           int
	wrongSize, wrongToken string
}

// pageOf is the part of a list that was asked for, and the token of the next.
func pageOf[T any](t turn, list []T, id func(T) string) (page []T, next string) {
	list = append([]T{}, list...) // no nil, which JSON would show
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(id(a), id(b)) })
	if t.started {
		list = slices.DeleteFunc(list, func(item T) bool { return id(item) <= t.after })
	}
	if len(list) <= t.size {
		return list, ""
	}
	page = list[:t.size]
	return page, t.token(t.question, id(page[len(page)-1]))
}

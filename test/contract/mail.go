package contract

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bijou"
)

// Post is a mailer, and what has arrived by it.
type Post struct {
	bijou.Mailer
	Arrived func(t *testing.T) []bijou.Message
}

// Mailer checks what bijou.Mailer promises. open returns one whose post has brought nothing yet.
func Mailer(t *testing.T, open func(t *testing.T) Post) {
	run(t, open, "AMessageArrivesAsItWasSent", mailWhole)
	run(t, open, "ManyMessagesAtOnceAllArrive", mailTogether)
	run(t, open, "WhatNoMailCanCarryIsInvalidAndNotSent", mailInvalid)
	run(t, open, "WhoHasGoneSendsNothing", mailGone)
}

func message(n int) bijou.Message {
	return bijou.Message{
		From: "bijou@example.org", To: fmt.Sprintf("viewer%d@example.org", n), Subject: fmt.Sprintf("Grüße №%d", n), At: noon.Truncate(1e9),
		Text: fmt.Sprintf("Zoë,\n\nopen this link:\n\nhttps://tv.example.org/reset-password#%s\n\n.\n.. a line of dots, = and =3D\nüß %d\n", strings.Repeat("x", 200), n),
	}
}

func mailWhole(t *testing.T, p Post) {
	want := message(1)
	must(t, "send", p.Send(t.Context(), want))
	wantSame(t, "messages", p.Arrived(t), []bijou.Message{want})
}

func mailTogether(t *testing.T, p Post) {
	var want []bijou.Message
	for n := range 9 {
		want = append(want, message(n))
	}
	together(len(want), func(i int) {
		if err := p.Send(t.Context(), want[i]); err != nil {
			t.Errorf("send message %d: %v", i, err)
		}
	})
	got := p.Arrived(t)
	slices.SortFunc(got, func(a, b bijou.Message) int { return cmp.Compare(a.To, b.To) })
	wantSame(t, "messages", got, want)
}

func mailInvalid(t *testing.T, p Post) {
	for what, change := range map[string]func(*bijou.Message){
		"no recipient":              func(m *bijou.Message) { m.To = "" },
		"a recipient that is none":  func(m *bijou.Message) { m.To = "viewer" },
		"two recipients":            func(m *bijou.Message) { m.To = "a@example.org, b@example.org" },
		"a header in the recipient": func(m *bijou.Message) { m.To = "a@example.org\r\nBcc: b@example.org" },
		"a sender that is none":     func(m *bijou.Message) { m.From = "bijou" },
		"a header in the sender":    func(m *bijou.Message) { m.From = "a@example.org\nBcc: b@example.org" },
		"no subject":                func(m *bijou.Message) { m.Subject = "" },
		"a header in the subject":   func(m *bijou.Message) { m.Subject = "Hello\r\nBcc: b@example.org" },
		"a long subject":            func(m *bijou.Message) { m.Subject = strings.Repeat("x", 201) },
		"no text":                   func(m *bijou.Message) { m.Text = "" },
		"a text without bound":      func(m *bijou.Message) { m.Text = strings.Repeat("x", bijou.MaxMessage+1) },
		"a text that is not UTF-8":  func(m *bijou.Message) { m.Text = "\xff" },
	} {
		m := message(1)
		change(&m)
		wantKind(t, "send "+what, p.Send(t.Context(), m), bijou.Invalid)
	}
	wantSame(t, "messages", p.Arrived(t), nil)
}

func mailGone(t *testing.T, p Post) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Send(ctx, message(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("send with an ended context: got error %v, want context.Canceled", err)
	}
	wantSame(t, "messages", p.Arrived(t), nil)
}

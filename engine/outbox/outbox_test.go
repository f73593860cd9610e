package outbox

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bijou"
	"bijou/test/contract"
)

// parse reads a message as a mail program does.
func parse(t *testing.T, path string) bijou.Message {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := mail.ReadMessage(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	at, err := m.Header.Date()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	return bijou.Message{
		From: m.Header.Get("From"), To: m.Header.Get("To"), Subject: subject, At: at.UTC(), Text: strings.ReplaceAll(string(text), "\r\n", "\n"),
	}
}

func arrived(t *testing.T, folder string) (all []bijou.Message) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		all = append(all, parse(t, f))
	}
	return all
}

func TestTheOutboxKeepsTheContractOfMailer(t *testing.T) {
	contract.Mailer(t, func(t *testing.T) contract.Post {
		folder := filepath.Join(t.TempDir(), "outbox")
		return contract.Post{Mailer: New(folder), Arrived: func(t *testing.T) []bijou.Message { return arrived(t, folder) }}
	})
}

func message(n int) bijou.Message {
	return bijou.Message{
		From: "bijou@example.org", To: "ada@example.org", Subject: "Hello", Text: fmt.Sprint("message ", n),
		At: time.Date(2026, 11, 24, 12, 0, n, 0, time.UTC),
	}
}

func TestTheOutboxKeepsTheNewestMessagesForItsOwnerAlone(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "outbox")
	o := New(folder)
	if err := o.Send(t.Context(), message(0)); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < Keep; n++ { // as if sent before
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("20261124T130000.%06dZ-x%s", n, suffix)), format(message(n)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	half := filepath.Join(folder, "20260101T000000.000000Z-y.eml.part")
	if err := os.WriteFile(half, []byte("From:"), 0o600); err != nil {
		t.Fatal(err)
	}
	last := message(0)
	last.At = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := o.Send(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	all := arrived(t, folder)
	if len(all) != Keep || all[0].Text != "message 1" || !all[Keep-1].At.Equal(last.At) {
		t.Errorf("%d messages from %q to %s, want %d from message 1 to the last", len(all), all[0].Text, all[len(all)-1].At, Keep)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != Keep {
		t.Errorf("%d files, %v; want the messages alone, without what a kill left", len(files), err)
	}
	for _, path := range []string{folder, filepath.Join(folder, files[Keep-1].Name())} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v; want its owner's alone", path, info.Mode(), err)
		}
	}
}

func TestAnOutboxThatCannotBeWrittenSaysWhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := New(filepath.Join(file, "outbox")).Send(t.Context(), message(1)); !errors.Is(err, bijou.Unavailable) || !strings.Contains(err.Error(), file) {
		t.Errorf("Send = %v, want Unavailable that names %s", err, file)
	}
}

func TestAMessageThatWasSentOutlivesAKill(t *testing.T) {
	contract.Kill(t, 3, func(t *testing.T, dir string, ack func(string)) {
		o := New(dir)
		for n := len(arrived(t, dir)); ; n++ {
			if err := o.Send(t.Context(), message(n%60)); err != nil {
				t.Fatal(err)
			}
			ack(fmt.Sprint(n))
		}
	}, func(t *testing.T, dir string, acked []string) {
		if got := arrived(t, dir); len(got) < len(acked) {
			t.Errorf("%d messages are there, want the %d acknowledged ones whole", len(got), len(acked))
		}
	})
}

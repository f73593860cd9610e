package trust

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"bijou"
)

// victimEnv names what this test program does instead of testing, until it is killed.
const victimEnv = "BIJOU_TRUST_VICTIM"

// victims do work, say on a line of standard output what is done, and never end by themselves.
var victims = map[string]func(args []string){
	"redeem": func(args []string) { // tokens file, secret, request file
		request, err := os.ReadFile(args[2])
		exitOn(err)
		_, err = NewTokens(args[0]).Redeem(args[1], string(request), time.Now())
		exitOn(err)
		fmt.Println("used")
		_, err = io.Copy(io.Discard, os.Stdin) // the certificate is never made: here comes the kill
		exitOn(err)
	},
	"create": func(args []string) { // authority file, tokens file
		a, err := OpenAuthority(args[0], time.Now())
		exitOn(err)
		tokens := NewTokens(args[1])
		for {
			text, err := tokens.Create(a, "appliance", time.Now(), time.Hour)
			if errors.Is(err, bijou.Exhausted) { // the kill is late
				_, err = io.Copy(io.Discard, os.Stdin)
			}
			exitOn(err)
			fmt.Println(text)
		}
	},
	"rotate": func(args []string) { // key folder
		now := time.Unix(1_000_000, 0)
		r, err := OpenRing(args[0], now)
		exitOn(err)
		for {
			now = now.Add(time.Minute)
			exitOn(r.Rotate(now, time.Second, 10_000*time.Hour))
			fmt.Println(now.Unix())
		}
	},
}

func exitOn(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

// killAfter runs the victim until it has said so many lines, kills it as kill -9 does, and returns all that it said in whole lines.
func killAfter(t *testing.T, lines int, victim string, args ...string) (said []string) {
	t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), victimEnv+"="+victim)
	in, err := c.StdinPipe() // kept open: the victim waits for it
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			break
		}
		if said = append(said, line[:len(line)-1]); len(said) == lines {
			if err := c.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := c.Wait(); err == nil || c.ProcessState.Exited() {
		t.Fatalf("%s was not killed: %v; it said %q", victim, err, said)
	}
	return said
}

func TestAKillBetweenUseAndAnswerStrandsNobody(t *testing.T) {
	dir, a := t.TempDir(), newTestAuthority(t)
	tokens := filepath.Join(dir, "tokens.json")
	text, err := NewTokens(tokens).Create(a, "appliance", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := ParseJoin(text)
	if err != nil {
		t.Fatal(err)
	}
	id := stranger(t)
	request := requestOf(t, id)
	file := filepath.Join(dir, "request.pem")
	if err := os.WriteFile(file, []byte(request), 0o600); err != nil {
		t.Fatal(err)
	}
	killAfter(t, 1, "redeem", tokens, secret, file)

	after := NewTokens(tokens) // as the service opens it when it is started again
	if _, err := a.Admit(after, JoinRequest{secret, requestOf(t, stranger(t)), "apl_other"}, time.Now()); !errors.Is(err, bijou.Denied) {
		t.Errorf("another key: got %v, want Denied: the token was used before the kill", err)
	}
	answer, err := a.Admit(after, JoinRequest{secret, requestOf(t, id), "apl_1"}, time.Now())
	if err != nil {
		t.Fatalf("the same key: got %v, want a certificate", err)
	}
	if joined, err := id.Accept(answer.Certificate, answer.Authority); err != nil || joined.Name() != "appliance/apl_1" {
		t.Errorf("the certificate: got %v, want one of appliance/apl_1", err)
	}
	if _, err := a.Admit(after, JoinRequest{secret, requestOf(t, id), "apl_1"}, time.Now().Add(time.Hour)); !errors.Is(err, bijou.Denied) {
		t.Errorf("the same key after the token's end: got %v, want Denied", err)
	}
}

func TestEveryTokenThatWasGivenOutOutlivesAKill(t *testing.T) {
	dir := t.TempDir()
	authority, path := filepath.Join(dir, "authority.pem"), filepath.Join(dir, "tokens.json")
	said := killAfter(t, 5, "create", authority, path)
	tokens := NewTokens(path)
	kept, err := tokens.load(time.Now())
	if err != nil || len(kept) != len(said) && len(kept) != len(said)+1 { // the kill may have come between disk and answer
		t.Errorf("%d tokens were given out, and %d are kept (%v)", len(said), len(kept), err)
	}
	for _, text := range said {
		_, secret, err := ParseJoin(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.Redeem(secret, requestOf(t, stranger(t)), time.Now()); err != nil {
			t.Errorf("a token that was given out before the kill: %v", err)
		}
	}
}

func TestARingOutlivesAKillAmidRotations(t *testing.T) {
	dir := t.TempDir()
	said := killAfter(t, 5, "rotate", dir)
	last := time.Unix(1_000_000, 0).Add(time.Duration(len(said)) * time.Minute)
	r, err := OpenRing(dir, last)
	if err != nil {
		t.Fatal(err)
	}
	// The kill may have come amid one more rotation.
	if got := len(r.Public()); got != len(said)+1 && got != len(said)+2 {
		t.Errorf("after %d rotations: got %d keys", len(said), got)
	}
	if err := r.Rotate(last.Add(time.Hour), time.Second, time.Minute); err != nil {
		t.Errorf("rotated after the kill: %v", err)
	}
}

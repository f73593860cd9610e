// Command api fuzzes the built binary's whole interface by its own OpenAPI document: as a guest, a member and an operator it sends what the document
// allows and what it does not, and fails on an answer that is a defect (5xx) or that the document does not describe. Run it by make test-api.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"bijou/test/harness"
)

// checks are what is asked of each answer.
const checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"

// endsTheCaller are the operations after which the caller is another one: left out for members, and asked as a guest.
var endsTheCaller = []string{"deleteSession", "endSession", "endSessions", "postSessionRenewals", "deleteOwnAccount"}

// endless are the operations whose answer has no end for who may ask: left out for operators, and asked by those who are refused.
var endless = []string{"getPulseLive"}

// caller is one who asks.
type caller struct {
	name, token string
	member      bool // has an account
	leaveOut    []string
}

func main() {
	bijou := flag.String("bijou", "bin/bijou", "the binary to test")
	tool := flag.String("schemathesis", "st", "the program that fuzzes")
	examples := flag.Int("examples", 25, "tries of each operation, for each caller")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := fuzz(ctx, *bijou, *tool, *examples); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

// seed is that of this run. To have a run again, set BIJOU_TEST_SEED to the seed that it printed.
func seed() (int64, error) {
	if s := os.Getenv("BIJOU_TEST_SEED"); s != "" {
		return strconv.ParseInt(s, 10, 64)
	}
	return time.Now().Unix(), nil
}

func fuzz(ctx context.Context, bijou, tool string, examples int) error {
	seed, err := seed()
	if err != nil {
		return fmt.Errorf("BIJOU_TEST_SEED is no number: %w", err)
	}
	dir, err := os.MkdirTemp("", "bijou-api-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sv, err := harness.Up.Launch(bijou, harness.Options{DataDir: filepath.Join(dir, "data"), Env: []string{"BIJOU_BUNDLED_FILMS=true"}})
	if err != nil {
		return err
	}
	defer sv.Signal(syscall.SIGKILL)
	callers, err := meet(sv)
	if err != nil {
		return err
	}
	fmt.Printf("seed: BIJOU_TEST_SEED=%d\n", seed)
	for i, c := range callers {
		if err := c.ask(ctx, dir, sv.Address, tool, "--seed", fmt.Sprint(seed+int64(i)), "--max-examples", fmt.Sprint(examples)); err != nil {
			return fmt.Errorf("%w; seed: BIJOU_TEST_SEED=%d", err, seed)
		}
	}
	if log := sv.Log(); strings.Contains(log, `"level":"ERROR"`) {
		return fmt.Errorf("the service tells of failures of its own:\n%s", log)
	}
	return errors.Join(sv.Signal(syscall.SIGTERM), ended(sv))
}

func ended(sv *harness.Service) error {
	status, err := sv.Ended()
	if err == nil && status != 0 {
		err = fmt.Errorf("the service ends with status %d:\n%s", status, sv.Log())
	}
	return err
}

// meet returns who asks.
func meet(sv *harness.Service) ([]caller, error) {
	token, err := os.ReadFile(filepath.Join(sv.DataDir, "operator.token"))
	if err != nil {
		return nil, err
	}
	body := strings.NewReader(`{"email":"ada@example.org","password":"correct horse"}`)
	a, err := sv.Guest().Try("POST", "/api/v1/accounts", body, http.Header{"Content-Type": {"application/json"}})
	if err != nil || a.Status != http.StatusCreated {
		return nil, fmt.Errorf("sign up: status %d, %v: %s", a.Status, err, a.Body)
	}
	return []caller{{name: "a guest"}, {"a member", a.Text("token"), true, endsTheCaller}, {"an operator", strings.TrimSpace(string(token)), false, endless}}, nil
}

// ask has the caller ask everything.
func (c caller) ask(ctx context.Context, dir, address, tool string, flags ...string) error {
	fmt.Printf("as %s\n", c.name)
	args := append([]string{"run", address + "/api/v1/openapi.json", "--url", address, "--checks", checks, "--phases", "examples,coverage,fuzzing",
		"--continue-on-failure", "--generation-database", "none", "--request-timeout", "60", "--warnings", "off", "--no-color"}, flags...)
	if c.token != "" {
		args = append(args, "--header", "Authorization: Bearer "+c.token)
	}
	for _, id := range c.leaveOut {
		args = append(args, "--exclude-operation-id", id)
	}
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s asked, and not all is well: %w", c.name, err)
	}
	return c.stillThere(address)
}

// stillThere wants the service to know the caller as before: else the rest of the questions was asked by somebody else.
func (c caller) stillThere(address string) error {
	a, err := harness.Client{Base: address, Token: c.token}.Try("GET", "/api/v1/me", nil, nil)
	if err != nil {
		return err
	}
	var me struct{ Account *struct{} }
	if err := json.Unmarshal(a.Body, &me); err != nil || a.Status != http.StatusOK {
		return fmt.Errorf("%s: who am I: status %d, %v: %s", c.name, a.Status, err, a.Body)
	}
	if c.member && me.Account == nil {
		return fmt.Errorf("%s is signed out: name the operation that does so in endsTheCaller of test/api", c.name)
	}
	return nil
}

package conf_test

import (
	"strings"
	"testing"

	"bijou/kit/conf"
)

type storesAt struct {
	Accounts string `yaml:"accounts" secret:"password" doc:"Where accounts are."`
}

func TestThePasswordOfAnAddressIsNotPrinted(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  "",
		"mysql://db:3306/bijou":             "mysql://db:3306/bijou",
		"mysql://bijou@db/bijou":            "mysql://bijou@db/bijou",
		"mysql://bijou:s3cret@db/bijou":     "mysql://bijou:•••@db/bijou",
		"mysql://bijou:s3@cret@db/bijou":    "mysql://bijou:•••@db/bijou",
		"mysql://bijou:s3/cret@db/bijou":    "mysql://•••",
		"s3://KEY:s3cret@films/in?region=x": "s3://KEY:•••@films/in?region=x",
		"bijou:s3cret@db":                   "•••",
		"no address":                        "no address",
	} {
		if got := conf.HidePassword(in); got != want {
			t.Errorf("%q is printed as %q, want %q", in, got, want)
		}
	}
	cfg := storesAt{Accounts: "mysql://bijou:s3cret@db/bijou"}
	var b strings.Builder
	if err := conf.Print(&b, &cfg, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `accounts: "mysql://bijou:•••@db/bijou"`) {
		t.Errorf("printed:\n%s", b.String())
	}
	if got := conf.Keys(&cfg, "X")[0].Default; got != "mysql://bijou:•••@db/bijou" {
		t.Errorf("the default is shown as %q", got)
	}
	if _, err := conf.Load(&cfg, conf.Sources{Sets: []string{"accounts=mysql://bijou:•••@db/bijou"}}); err == nil || !strings.Contains(err.Error(), "stands for a secret") {
		t.Errorf("what was printed is read back: %v", err)
	}
}

package system_test

import (
	"regexp"
	"strings"
	"testing"

	"bijou/test/harness"
)

func TestWhatStoresDoIsMeasuredAndWhetherTheyAnswerIsSeen(t *testing.T) {
	inEachShape(t, func(t *testing.T, shape harness.Shape) {
		sv, film := library(t, shape, harness.Options{})
		sv.Guest().StartPlay(t, film.ID)
		metrics := string(sv.Guest().Get(t, "/metrics"))
		for _, want := range []string{
			`bijou_store_calls_total{method="Title",result="ok",store="TitleStore"}`, `bijou_store_calls_total{method="PutTitle",result="ok",store="TitleStore"}`,
			`bijou_store_calls_total{method="Lease",result="ok",store="WorkStore"}`, `bijou_store_calls_total{method="Lease",result="not found",store="WorkStore"}`,
			`bijou_store_calls_total{method="Put",result="ok",store="BlobStore"}`, `bijou_store_calls_total{method="Partitions",result="ok",store="LogStore"}`,
			`bijou_store_calls_total{method="BeginAction",result="ok",store="AuditStore"}`, `bijou_store_calls_total{method="Operators",result="ok",store="OperatorStore"}`,
			`bijou_store_calls_total{method="WantedAppliances",result="ok",store="ApplianceStore"}`, `bijou_store_calls_total{method="Revocations",result="ok",store="RevocationStore"}`,
			`bijou_store_calls_total{method="ResetRequests",result="ok",store="ResetStore"}`, `bijou_store_duration_seconds_count{method="Title",store="TitleStore"}`,
		} {
			if !regexp.MustCompile(regexp.QuoteMeta(want) + ` [1-9]`).MatchString(metrics) {
				t.Errorf("the metrics have no %s", want)
			}
		}
		if strings.Contains(metrics, film.ID) {
			t.Error("the metrics name a title")
		}
		if parts := string(sv.Guest().Get(t, "/readyz?verbose")); !strings.Contains(parts, "store TitleStore: answers, last 2") {
			t.Errorf("the parts are\n%s\nwant stores that answer", parts)
		}
		if r := sv.CLI(t, "doctor"); !regexp.MustCompile(`stores: \d+ were asked, and each answers`).MatchString(r.Out) {
			t.Errorf("bijou doctor says\n%s%s\nwant that the stores answer", r.Out, r.Err)
		}
	})
}

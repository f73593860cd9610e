package sqlite

import (
	"fmt"
	"testing"
	"time"

	"bijou"
)

func TestRevocationsThatEndedLongAgoLeaveTheFile(t *testing.T) {
	s := opened(t, OpenSteering, newFile(t))
	begin := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for i := range 10 {
		now := begin.Add(time.Duration(i) * revocationsKept)
		if _, err := s.Revocations(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		if err := s.Revoke(t.Context(), bijou.Revocation{Session: bijou.SessionID(fmt.Sprint("ply_", i)), Until: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	var kept int
	err := s.d.row(t.Context(), func(scan func(...any) error) error { return scan(&kept) }, `SELECT count(*) FROM revocations`)
	if err != nil || kept != 2 {
		t.Errorf("got %d revocations in the file, %v, want the last and the one that ended less than %s ago", kept, err, revocationsKept)
	}
}

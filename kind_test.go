package bijou_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"bijou"
)

func TestAFailureThatPassesWithTimeSaysHowLong(t *testing.T) {
	plain := fmt.Errorf("too many wrong passwords: %w", bijou.Exhausted)
	later := bijou.After(plain, 30*time.Second)
	if bijou.WaitOf(later) != 30*time.Second || bijou.WaitOf(fmt.Errorf("sign in: %w", later)) != 30*time.Second || bijou.WaitOf(plain) != 0 || bijou.WaitOf(nil) != 0 {
		t.Errorf("waits are %s, %s and %s", bijou.WaitOf(later), bijou.WaitOf(plain), bijou.WaitOf(nil))
	}
	if later.Error() != plain.Error() || !errors.Is(later, bijou.Exhausted) || bijou.Sentence(later) != "too many wrong passwords" {
		t.Errorf("%v is not the failure that it was", later)
	}
}

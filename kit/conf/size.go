package conf

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"bijou"
)

// Size is a number of bytes. It is written with a unit, such as 10GiB (IEC 80000-13) or 4GB, or as a plain number of bytes.
type Size int64

// units are the units of sizes, those that String writes first, largest first.
var units = []struct {
	name  string
	bytes Size
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// ParseSize reads a size: a whole number from 0 and a unit out of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB; no unit means bytes.
// Anything else is Invalid.
func ParseSize(text string) (Size, error) {
	number, unit := strings.TrimSpace(text), Size(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimRight(rest, " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: write one such as 512MiB or 10GiB: %w", clip(text), bijou.Invalid)
	}
	if Size(n) > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is a size beyond all disks: write one such as 512MiB or 10GiB: %w", clip(text), bijou.Invalid)
	}
	return Size(n) * unit, nil
}

// String returns the size with the largest binary unit that divides it, as ParseSize reads it.
func (s Size) String() string {
	for _, u := range units[:4] {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

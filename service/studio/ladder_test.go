package studio

import (
	"fmt"
	"math"
	"testing"

	"bijou"

	"pgregory.net/rapid"
)

func TestTheLadderFitsThePicture(t *testing.T) {
	for _, c := range []struct {
		what          string
		width, height int
		want          string
	}{
		{"full HD", 1920, 1080, "1920x1080 1280x720 854x480 640x360"},
		{"8K", 7680, 4320, "1920x1080 1280x720 854x480 640x360"},
		{"4K", 3840, 2160, "1920x1080 1280x720 854x480 640x360"},
		{"HD", 1280, 720, "1280x720 854x480 640x360 426x240"},
		{"portrait", 1080, 1920, "1080x1920 720x1280 480x854 360x640"},
		{"old television", 720, 576, "720x576 450x360 300x240"},
		{"cinema", 1920, 804, "1920x804 1146x480 860x360 574x240"},
		{"odd", 1279, 719, "1278x718 854x480 640x360 426x240"},
		{"just above a rung", 860, 484, "860x484 640x360 426x240"},
		{"square", 300, 300, "300x300 240x240"},
		{"small", 320, 180, "320x180 214x120"},
		{"smallest with two", 96, 96, "96x96 64x64"},
		{"tiny", 95, 95, "94x94"},
		{"one pixel", 1, 1, "2x2"},
		{"one row", 1920, 1, "1920x2"},
		{"a panorama", 16000, 1080, "4088x276 2726x184"},
		{"ultra-wide", 5120, 1440, "3840x1080 2560x720 1706x480 1280x360"},
		{"a banner", 1000, 100, "1000x100 660x66"},
	} {
		got := ""
		for _, r := range ladder(bijou.VideoStream{Width: c.width, Height: c.height, RateNum: 25, RateDen: 1}) {
			got += fmt.Sprintf(" %dx%d", r.Width, r.Height)
		}
		if got != " "+c.want {
			t.Errorf("%s, %dx%d: got%s, want %s", c.what, c.width, c.height, got, c.want)
		}
	}
}

func TestEveryLadderKeepsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.OneOf(rapid.IntRange(1, 400), rapid.IntRange(1, 8192))
		v := bijou.VideoStream{
			Width: side.Draw(t, "width"), Height: side.Draw(t, "height"),
			RateNum: rapid.Int64Range(1, 240_000).Draw(t, "num"), RateDen: rapid.Int64Range(1, 1001).Draw(t, "den"),
		}
		rungs := ladder(v)
		long, short := max(v.Width, v.Height), min(v.Width, v.Height)
		top := min(short, 1080, short*maxLong/long) // of the highest rung
		if len(rungs) < 1 || len(rungs) > 4 || top >= minSide && len(rungs) < 2 {
			t.Fatalf("%+v: got %d rungs, want 2 to 4, or 1 for a tiny picture: %+v", v, len(rungs), rungs)
		}
		for i, r := range rungs {
			small := min(r.Width, r.Height)
			switch {
			case r.Width%2 != 0 || r.Height%2 != 0 || small < 2:
				t.Fatalf("%+v: rung %+v is not even", v, r)
			case r.Width > max(2, v.Width) || r.Height > max(2, v.Height):
				t.Fatalf("%+v: rung %+v is larger than the source", v, r)
			case small > 1080 || max(r.Width, r.Height) > maxLong:
				t.Fatalf("%+v: rung %+v is larger than decoders take", v, r)
			case r.MaxBPS < minCapBPS || r.CRF > topCRF || r.CRF < 20:
				t.Fatalf("%+v: rung %+v has a rate that is none", v, r)
			}
			if off := aspect(r.Width, r.Height) / aspect(v.Width, v.Height); small >= 200 && math.Abs(off-1) > 0.01 {
				t.Fatalf("%+v: rung %+v is off its shape by %v", v, r, off)
			}
			if i == 0 {
				continue
			}
			above := rungs[i-1]
			if r.Width >= above.Width || r.Height >= above.Height && short > 2 || r.MaxBPS > above.MaxBPS || r.CRF >= above.CRF {
				t.Fatalf("%+v: rung %+v is not below %+v", v, r, above)
			}
			if above.MaxBPS > minCapBPS && r.MaxBPS == above.MaxBPS {
				t.Fatalf("%+v: rung %+v may take as much as %+v", v, r, above)
			}
		}
	})
}

func aspect(w, h int) float64 { return float64(w) / float64(h) }

func TestFullHDAtThirtyFramesIsCappedAtSixMegabits(t *testing.T) {
	got := ladder(bijou.VideoStream{Width: 1920, Height: 1080, RateNum: 30, RateDen: 1})[0].MaxBPS
	if got != 6_000_000 {
		t.Errorf("got %d bit/s, want 6,000,000", got)
	}
	twice := ladder(bijou.VideoStream{Width: 1920, Height: 1080, RateNum: 60, RateDen: 1})[0].MaxBPS
	if ratio := float64(twice) / float64(got); ratio < 1.67 || ratio > 1.69 {
		t.Errorf("twice the frames: got %v times the rate, want 2^0.75", ratio)
	}
}

func TestFilmsAreShownAtNoMoreThanSixtyFrames(t *testing.T) {
	for in, want := range map[[2]int64][2]int64{
		{25, 1}: {25, 1}, {24000, 1001}: {24000, 1001}, {60, 1}: {60, 1}, {60000, 1001}: {60000, 1001}, {120, 1}: {120, 2}, {240, 1}: {240, 4},
		{61, 1}: {61, 2}, {0, 0}: {25, 1}, {-1, 1}: {25, 1}, {1, 0}: {25, 1}, {math.MaxInt64, 1}: {25, 1}, {1, math.MaxInt64}: {25, 1},
	} {
		num, den := frameRate(bijou.VideoStream{RateNum: in[0], RateDen: in[1]})
		if num != want[0] || den != want[1] {
			t.Errorf("%d/%d: got %d/%d, want %d/%d", in[0], in[1], num, den, want[0], want[1])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		num, den := frameRate(bijou.VideoStream{RateNum: rapid.Int64().Draw(t, "num"), RateDen: rapid.Int64().Draw(t, "den")})
		if num <= 0 || den <= 0 || num > maxRate*den {
			t.Fatalf("got %d/%d, want above 0 and at most %d", num, den, maxRate)
		}
	})
}

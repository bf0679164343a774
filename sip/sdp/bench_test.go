package sdp_test

import (
	"testing"

	"github.com/siaga112/siaga112/sip/sdp"
)

func BenchmarkAnswer(b *testing.B) {
	for _, name := range []string{"sipp", "linphone", "huawei-sbc", "jssip-chrome"} {
		offer := readFile(b, "testdata/answer/"+name+".sdp")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := ours()
				_, _, _ = s.Answer(offer, sdp.SendRecv)
			}
		})
	}
}

func BenchmarkOffer(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		s := ours()
		s.Offer(sdp.SendRecv)
	}
}

package replica

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func drawVector(t *rapid.T, name string) Vector {
	return rapid.MapOfN(rapid.Custom(func(t *rapid.T) Origin {
		return Origin{uid(rapid.ByteRange(1, 5).Draw(t, "node")), uint32(rapid.IntRange(0, 1).Draw(t, "incarnation"))}
	}), rapid.Uint64Range(1, 9), 0, 6).Draw(t, name)
}

func TestVectorProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, w := drawVector(t, "v"), drawVector(t, "w")
		delta := w.Delta(v)
		merged := v.Clone()
		merged.Merge(delta)
		if !merged.Covers(v) || !merged.Covers(w) {
			t.Fatalf("%v merged with delta %v does not cover %v and %v", merged, delta, v, w)
		}
		whole := v.Clone()
		whole.Merge(w)
		if diff := cmp.Diff(whole, merged); diff != "" {
			t.Fatalf("merging the delta is not merging the whole:\n%s", diff)
		}
		if v.Covers(w) != (len(delta) == 0) || v.Covers(w) != (v.Lag(w) == 0) {
			t.Fatalf("covers %t, delta %v, lag %d", v.Covers(w), delta, v.Lag(w))
		}
		if merged.Lag(w) != 0 {
			t.Fatalf("lag after merging is %d", merged.Lag(w))
		}
	})
}

func TestVectorCloneIsApart(t *testing.T) {
	v := Vector{Origin{Node: uid(1)}: 1}
	c := v.Clone()
	c[Origin{Node: uid(1)}] = 2
	if v[Origin{Node: uid(1)}] != 1 {
		t.Error("changing the clone changed the vector")
	}
	if (Vector)(nil).Clone() == nil {
		t.Error("clone of no vector can not be written to")
	}
}

func TestDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t, KindUser)
		for i := range rows { // one version per key, as a store holds them
			rows[i].Key = append([]byte{byte(i)}, rows[i].Key...)
		}
		var one, other Digest
		for _, r := range rows {
			one.Toggle(r.Key, r.Version)
		}
		for _, r := range rapid.Permutation(rows).Draw(t, "order") {
			other.Toggle(r.Key, r.Version)
		}
		if one != other || len(one.Differing(&other)) != 0 {
			t.Fatal("the order of rows changed the digest")
		}
		changed := rapid.SampledFrom(rows).Draw(t, "changed")
		other.Toggle(changed.Key, changed.Version)
		newer := changed.Version
		newer.Seq += 10
		other.Toggle(changed.Key, newer)
		if diff := cmp.Diff([]uint8{BucketOf(changed.Key)}, one.Differing(&other)); diff != "" {
			t.Fatalf("differing buckets after one change:\n%s", diff)
		}
		for _, r := range rows {
			one.Toggle(r.Key, r.Version)
		}
		if !one.Empty() {
			t.Fatal("not empty after all rows were removed")
		}
	})
}

// TestDigestGolden: all versions of the program must count alike.
func TestDigestGolden(t *testing.T) {
	var d Digest
	d.Toggle([]byte("jörg"), Version{HLC: 5, Origin: Origin{uid(1), 2}, Seq: 9})
	if got, bucket := d[BucketOf([]byte("jörg"))], BucketOf([]byte("jörg")); got != wantSum || bucket != wantBucket {
		t.Errorf("fingerprint = %#x in bucket %d, want %#x in %d", got, bucket, uint64(wantSum), wantBucket)
	}
}

const (
	wantSum    = 0xb720c9df5e7f425b
	wantBucket = 18
)

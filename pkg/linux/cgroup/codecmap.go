package cgroup

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// hugetlbLimit is one file for each size of pages, hugetlb.2MB.max. The kernel rounds down to whole huge pages, and so does its counter
// end: what is beyond is no limit, which it prints as a number until max was written (mm/hugetlb_cgroup.c).
func hugetlbLimit(file string) *entriesCodec[spec.Limit] {
	text := func(size string, l spec.Limit) string {
		unit := pageSize
		if b, err := spec.ParseBytes(strings.TrimSuffix(size, "B") + "i"); err == nil && b > 0 {
			unit = uint64(b)
		}
		switch l = l.RoundDown(unit); {
		case !l.IsMax() && l.Value() < pageMax/unit*unit:
			return limitText(l)
		case strings.HasSuffix(file, "limit_in_bytes"): // v1
			return "-1"
		}
		return "max"
	}
	return &entriesCodec[spec.Limit]{
		name: "hugetlb.SIZE." + file,
		own:  func(size string) []string { return []string{"hugetlb." + size + "." + file} },
		all:  pageSizes, none: []string{text("", spec.MaxLimit())},
		encode: func(size string, l spec.Limit) ([]string, error) { return []string{text(size, l)}, nil },
		decode: func(_ string, texts []string) (spec.Limit, error) {
			if texts[0] == "-1" {
				return spec.MaxLimit(), nil
			}
			return parseLimit(texts[0])
		},
		tidy: func(size, kernel string) string {
			l, err := parseLimit(kernel)
			if err != nil {
				return kernel
			}
			return text(size, l)
		},
	}
}

// pageSizes are the sizes of huge pages this kernel has, as hugetlb files name them: 2MB, 1GB (mm/hugetlb_cgroup.c, mem_fmt).
func pageSizes() (sizes []string) {
	all, _ := os.ReadDir("/sys/kernel/mm/hugepages") // no huge pages, no files
	for _, e := range all {
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(e.Name(), "hugepages-"), "kB"), 10, 64)
		switch {
		case err != nil:
		case kib >= 1<<20:
			sizes = append(sizes, fmt.Sprintf("%dGB", kib>>20))
		case kib >= 1<<10:
			sizes = append(sizes, fmt.Sprintf("%dMB", kib>>10))
		default:
			sizes = append(sizes, fmt.Sprintf("%dKB", kib))
		}
	}
	return sizes
}

func rdmaMax() *entriesCodec[spec.RDMAMax] {
	return &entriesCodec[spec.RDMAMax]{
		files: []string{"rdma.max"}, none: []string{"hca_handle=max hca_object=max"},
		encode: func(_ string, m spec.RDMAMax) ([]string, error) {
			return []string{fmt.Sprintf("hca_handle=%s hca_object=%s", orMax(m.HCAHandle), orMax(m.HCAObject))}, nil
		},
		decode: func(_ string, texts []string) (spec.RDMAMax, error) {
			v, err := assignments(texts[0])
			return spec.RDMAMax{HCAHandle: v["hca_handle"], HCAObject: v["hca_object"]}, err
		},
	}
}

func miscMax() *entriesCodec[spec.Limit] {
	return &entriesCodec[spec.Limit]{
		files: []string{"misc.max"}, none: []string{"max"},
		encode: func(_ string, l spec.Limit) ([]string, error) { return []string{limitText(l)}, nil },
		decode: func(_ string, texts []string) (spec.Limit, error) { return parseLimit(texts[0]) },
	}
}

func ifPrioMap() *entriesCodec[uint64] {
	return &entriesCodec[uint64]{
		files: []string{"net_prio.ifpriomap"}, none: []string{"0"},
		encode: func(_ string, n uint64) ([]string, error) { return []string{strconv.FormatUint(n, 10)}, nil },
		decode: func(_ string, texts []string) (uint64, error) { return strconv.ParseUint(texts[0], 10, 32) },
	}
}

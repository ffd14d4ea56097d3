import { describe, expect, test } from 'vitest';
import { isTrusted } from '../../src/catalog/trusted-code.ts';

describe('a function in C that says it changes nothing', () => {
  test.each([
    ['pg_trgm', 'similarity'],
    ['postgis', 'st_intersects'],
    ['postgis', 'st_transform'],
    ['vector', 'l2_distance'],
  ])('is believed: %s.%s', (extension, name) => {
    expect(isTrusted(extension, name, 'i', false)).toBe(true);
    expect(isTrusted(extension, name, 's', false)).toBe(true);
    expect(isTrusted(extension, name, 'v', false)).toBe(false);
    expect(isTrusted(extension, name, 'i', true)).toBe(false);
  });

  test.each([
    ['postgis_raster', 'st_mapalgebraexpr'],
    ['postgis_raster', 'st_value'],
    ['postgis', 'st_mapalgebraexpr'],
    ['postgis', 'st_estimatedextent'],
    ['postgis_topology', 'st_getfaceedges'],
    ['pgrouting', '_pgr_dijkstra'],
    ['pgroonga', 'pgroonga_query_expand'],
    ['unit', 'unit_in'],
    ['vchord', 'vchordrq_evaluate_query_recall'],
    ['tablefunc', 'crosstab4'],
    ['tablefunc', 'crosstab_hash'],
    ['tablefunc', 'connectby_text'],
  ])('is not, where it runs text or may: %s.%s', (extension, name) => {
    expect(isTrusted(extension, name, 'i', false)).toBe(false);
  });
});

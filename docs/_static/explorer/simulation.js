/* Replicates of what theory.js predicts: rows are drawn, a rule is fitted, its risk is exact. */
"use strict";

const OpalSimulation = (() => {
  const MOST_STEPS = 40;
  const SEPARABLE = 60; // size of a rule's weights beyond which rows are as good as separable

  /* Standard normals from a 32-bit generator (a Weyl sequence, mixed), two at a time. */
  function normals(seed) {
    let state = seed >>> 0, spare = null;
    function uniform() {
      state = (state + 0x6d2b79f5) >>> 0;
      let z = Math.imul(state ^ (state >>> 15), state | 1);
      z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
      return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
    }
    return () => {
      if (spare !== null) {
        const kept = spare;
        spare = null;
        return kept;
      }
      const radius = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    };
  }

  /* Mean and Cholesky factor of n standard normal rows in d dimensions: a fit to seeds, by Bartlett's
   * decomposition of the Wishart law. */
  function fitted(normal, n, d) {
    const mean = Array.from({ length: d }, () => normal() / Math.sqrt(n));
    const factor = Array.from({ length: d }, (_, i) => Array.from({ length: d }, (__, j) => {
      if (j > i) return 0;
      if (j < i) return normal() / Math.sqrt(n - 1);
      let square = 0;
      for (let k = 0; k < n - 1 - i; k++) square += normal() ** 2;
      return Math.sqrt(square / (n - 1));
    }));
    return { mean, factor };
  }

  /* Rows of a replicate: features and an intercept, labels, and the kind of each. */
  function rowsOf(s, kinds, normal) {
    const d = s.dim, total = kinds.reduce((a, k) => a + k.number, 0);
    const x = new Float64Array(total * (d + 1)), label = new Float64Array(total), which = new Int32Array(total);
    const laws = [0, 1].map(() => (Number.isFinite(s.seeds) ? fitted(normal, s.seeds, d) : null));
    let row = 0;
    const z = new Float64Array(d);
    kinds.forEach((kind, k) => {
      const law = kind.synthetic ? laws[kind.label] : null;
      for (let i = 0; i < kind.number; i++, row++) {
        const at = row * (d + 1);
        for (let j = 0; j < d; j++) z[j] = normal();
        for (let j = 0; j < d; j++) {
          let value = z[j];
          if (law) {
            value = law.mean[j];
            for (let l = 0; l <= j; l++) value += law.factor[j][l] * z[l];
          }
          x[at + j] = value + (j === 0 ? kind.mean : 0);
        }
        x[at + d] = 1;
        label[row] = kind.label;
        which[row] = k;
      }
    });
    return { x, label, which, total };
  }

  /* The weighted fit by Newton's method; null where it does not end. */
  function fit(rows, sizes, p, start) {
    const theta = Float64Array.from(start);
    for (let n = 0; n < MOST_STEPS; n++) {
      const slope = new Float64Array(p), hessian = new Float64Array(p * p);
      for (let r = 0; r < rows.total; r++) {
        const size = sizes[rows.which[r]], at = r * p;
        if (size === 0) continue;
        let u = 0;
        for (let j = 0; j < p; j++) u += theta[j] * rows.x[at + j];
        const q = OpalTheory.sigmoid(u), s = size * (q - rows.label[r]), c = size * q * (1 - q);
        for (let j = 0; j < p; j++) {
          const xj = rows.x[at + j], cx = c * xj;
          slope[j] += s * xj;
          for (let l = 0; l <= j; l++) hessian[j * p + l] += cx * rows.x[at + l];
        }
      }
      const move = solve(hessian, slope, p);
      if (!move) return null;
      let size = 0, length = 0;
      for (let j = 0; j < p; j++) length += move[j] * move[j];
      const damp = Math.min(1, 3 / Math.sqrt(length));
      for (let j = 0; j < p; j++) {
        theta[j] -= damp * move[j];
        size += theta[j] * theta[j];
      }
      if (!(size < SEPARABLE * SEPARABLE)) return null;
      if (length < 1e-14) return theta;
    }
    return null;
  }

  /* Solution of a symmetric positive system by Cholesky's decomposition, its lower half given. */
  function solve(a, b, p) {
    const l = Float64Array.from(a), y = Float64Array.from(b);
    for (let j = 0; j < p; j++) {
      for (let k = 0; k < j; k++) for (let i = j; i < p; i++) l[i * p + j] -= l[i * p + k] * l[j * p + k];
      if (!(l[j * p + j] > 0)) return null;
      const root = Math.sqrt(l[j * p + j]);
      for (let i = j; i < p; i++) l[i * p + j] /= root;
    }
    for (let i = 0; i < p; i++) {
      for (let k = 0; k < i; k++) y[i] -= l[i * p + k] * y[k];
      y[i] /= l[i * p + i];
    }
    for (let i = p - 1; i >= 0; i--) {
      for (let k = i + 1; k < p; k++) y[i] -= l[k * p + i] * y[k];
      y[i] /= l[i * p + i];
    }
    return y;
  }

  /* Excess of a rule, exactly: its score has one law in each class, that of a rule along the first
   * feature where the classes are nearer. */
  function excess(s, theta) {
    const size = Math.hypot(...theta.subarray(0, s.dim)), distance = (s.distance * theta[0]) / size;
    return OpalTheory.risk({ distance }, [size, theta[s.dim]], null, 0) - OpalTheory.risk(s, [s.distance, 0], null, 0);
  }

  /* Excess of one replicate at each weight, one after the other, from the same rows; null where rows are separable. */
  function* replicate(s, alphas, seed) {
    const inside = { ...s, alpha: 0.5 };
    const kinds = OpalTheory.kinds(inside), rows = rowsOf(inside, kinds, normals(seed * 7919 + 1));
    let start = new Float64Array(s.dim + 1);
    start[0] = s.distance;
    for (const alpha of alphas) {
      const sizes = kinds.map((k) => (k.augmented ? alpha / (2 * s.augmented) : (1 - alpha) / (2 * s.n)));
      const theta = fit(rows, sizes, s.dim + 1, start);
      if (theta) start = theta;
      yield theta ? excess(s, theta) : null;
    }
  }

  /* Operations of a replicate, about: what a page can afford depends on it. */
  const work = (s) => (s.n * 2 + s.augmented * 2) * (s.dim + 1) ** 2;

  return { replicate, work };
})();

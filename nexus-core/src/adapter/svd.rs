//! The best approximation of low rank of a product that is already of low rank.

/// A tall matrix of columns, `columns[j][i]`.
type Columns = Vec<Vec<f64>>;

/// Sweeps of the Jacobi rotations; some ten are enough for f64.
const SWEEPS: usize = 60;

/// The truncated singular value decomposition of `A B`: `U S` as columns `[inputs] * rank` and `V^T` as rows
/// `[outputs] * rank`, largest first.
///
/// `A: [inputs, R]` is given by its columns, `B: [R, outputs]` by its rows. With `A = Q1 R1` and `B^T = Q2 R2` only the
/// `R x R` matrix `R1 R2^T` has to be decomposed, by one-sided Jacobi rotations (Hestenes 1958; Golub and Van Loan,
/// Matrix Computations, section 8.6.3), so the product itself is never formed.
pub(super) fn truncated(a: Columns, b: Columns, rank: usize) -> (Columns, Columns) {
    let (q1, r1) = orthogonalise(a);
    let (q2, r2) = orthogonalise(b);
    let inner = r1.len();
    // Columns of K = R1 R2^T; r[j][i] is the element of row i and column j.
    let mut k: Columns = (0..inner)
        .map(|j| (0..inner).map(|i| (0..inner).map(|l| r1[l][i] * r2[l][j]).sum()).collect())
        .collect();
    // K V = U S.
    let mut v: Columns =
        (0..inner).map(|j| (0..inner).map(|i| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..SWEEPS {
        let mut turned = false;
        for p in 0..inner {
            for q in p + 1..inner {
                turned |= rotate(&mut k, &mut v, p, q);
            }
        }
        if !turned {
            break;
        }
    }
    let mut order: Vec<usize> = (0..inner).collect();
    let size = |j: &usize| dot(&k[*j], &k[*j]);
    order.sort_by(|a, b| size(b).total_cmp(&size(a)));
    order.truncate(rank);
    let lift = |q: &Columns, inside: &[f64]| -> Vec<f64> {
        let length = q.first().map_or(0, Vec::len);
        let mut column = vec![0.0; length];
        for (direction, &share) in q.iter().zip(inside) {
            column.iter_mut().zip(direction).for_each(|(sum, x)| *sum += share * x);
        }
        column
    };
    order.iter().map(|&j| (lift(&q1, &k[j]), lift(&q2, &v[j]))).unzip()
}

/// Makes columns `p` and `q` of K orthogonal by a rotation, which V shares; whether they were not.
fn rotate(k: &mut Columns, v: &mut Columns, p: usize, q: usize) -> bool {
    let (alpha, beta, gamma) = (dot(&k[p], &k[p]), dot(&k[q], &k[q]), dot(&k[p], &k[q]));
    if gamma.abs() <= 1e-15 * (alpha * beta).sqrt() || gamma == 0.0 {
        return false;
    }
    let zeta = (beta - alpha) / (2.0 * gamma);
    let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
    let c = 1.0 / (1.0 + t * t).sqrt();
    let s = c * t;
    for matrix in [k, v] {
        for i in 0..matrix[p].len() {
            let (x, y) = (matrix[p][i], matrix[q][i]);
            matrix[p][i] = c * x - s * y;
            matrix[q][i] = s * x + c * y;
        }
    }
    true
}

/// Q and R of the columns, by Gram-Schmidt done twice; a column that depends on the earlier ones gives a zero one.
fn orthogonalise(columns: Columns) -> (Columns, Columns) {
    let count = columns.len();
    let mut q: Columns = Vec::with_capacity(count);
    let mut r: Columns = Vec::with_capacity(count);
    for mut column in columns {
        let before = dot(&column, &column).sqrt();
        let mut shares = vec![0.0; count];
        for _ in 0..2 {
            for (i, direction) in q.iter().enumerate() {
                let share = dot(direction, &column);
                column.iter_mut().zip(direction).for_each(|(x, d)| *x -= share * d);
                shares[i] += share;
            }
        }
        let norm = dot(&column, &column).sqrt();
        if norm > 1e-12 * before {
            column.iter_mut().for_each(|x| *x /= norm);
            shares[q.len()] = norm;
        } else {
            column.fill(0.0);
        }
        q.push(column);
        r.push(shares);
    }
    (q, r)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::normal;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn random(rng: &mut ChaCha8Rng, count: usize, length: usize) -> Columns {
        let column = |_| normal(rng, length, 1.0).into_iter().map(f64::from).collect();
        (0..count).map(column).collect()
    }

    fn product(a: &Columns, b: &Columns) -> Vec<f64> {
        let (n, m) = (a[0].len(), b[0].len());
        let at = |i: usize, j: usize| a.iter().zip(b).map(|(a, b)| a[i] * b[j]).sum();
        (0..n * m).map(|e| at(e / m, e % m)).collect()
    }

    fn distance(x: &[f64], y: &[f64]) -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn the_full_rank_gives_the_product_back_and_less_its_best_part() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (mut a, b) = (random(&mut rng, 5, 9), random(&mut rng, 5, 12));
        a[4] = a[1].iter().map(|x| 2.0 * x).collect();
        let whole = product(&a, &b);
        let (u, v) = truncated(a.clone(), b.clone(), 5);
        assert!(distance(&product(&u, &v), &whole) < 1e-10);
        let norms: Vec<f64> = u.iter().map(|column| dot(column, column).sqrt()).collect();
        assert!(norms.windows(2).all(|pair| pair[0] >= pair[1]) && norms[4] < 1e-10, "{norms:?}");
        for rank in 1..4 {
            let (u, v) = truncated(a.clone(), b.clone(), rank);
            // Eckart and Young: what is lost is the norm of the singular values left out.
            let lost = norms[rank..].iter().map(|s| s * s).sum::<f64>().sqrt();
            assert!((distance(&product(&u, &v), &whole) - lost).abs() < 1e-10);
        }
    }
}

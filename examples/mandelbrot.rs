//! A picture of the Mandelbrot set, one task a row: `mandelbrot [WIDTH HEIGHT [FILE]]`.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

use nws::sleigh::Sleigh;
use serde::{Deserialize, Serialize};

/// The part of the plane that the picture shows.
#[derive(Serialize, Deserialize)]
struct View {
    width: u32,
    height: u32,
    /// The point in the middle.
    middle: (f64, f64),
    /// The distance between two points of the picture.
    step: f64,
    /// After so many steps a point counts as one that never leaves.
    most: u32,
}

/// How many steps each point of a row takes until it leaves.
#[nws::task]
fn row(y: u32, #[fixed] view: &View) -> Vec<u32> {
    let imaginary = view.middle.1 + (f64::from(y) - f64::from(view.height) / 2.0) * view.step;
    let real = |x: u32| view.middle.0 + (f64::from(x) - f64::from(view.width) / 2.0) * view.step;
    (0..view.width).map(|x| steps(real(x), imaginary, view.most)).collect()
}

fn steps(real: f64, imaginary: f64, most: u32) -> u32 {
    let (mut x, mut y) = (0.0, 0.0);
    for count in 0..most {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 4.0 {
            return count;
        }
        (x, y) = (xx - yy + real, 2.0 * x * y + imaginary);
    }
    most
}

/// Colours of points that leave, soon ones first; between two of them it is mixed.
const COLOURS: [[u32; 3]; 6] =
    [[4, 8, 64], [24, 88, 177], [134, 181, 229], [248, 240, 200], [255, 170, 0], [106, 52, 3]];
/// How far two colours are apart.
const MIXTURES: u32 = 64;

fn colour(count: u32, most: u32) -> [u8; 3] {
    if count == most {
        return [0, 0, 0];
    }
    let place = (count * 4096).isqrt() % (COLOURS.len() as u32 * MIXTURES);
    let (this, part) = ((place / MIXTURES) as usize, place % MIXTURES);
    let (from, to) = (COLOURS[this], COLOURS[(this + 1) % COLOURS.len()]);
    [0, 1, 2].map(|channel| ((from[channel] * (MIXTURES - part) + to[channel] * part) / MIXTURES) as u8)
}

fn save(file: &str, view: &View, pixels: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(file)?), view.width, view.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_filter(png::Filter::NoFilter);
    Ok(encoder.write_header()?.write_image_data(pixels)?)
}

#[nws::main]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let width = arguments.first().map_or(Ok(600), |text| text.parse())?;
    let height = arguments.get(1).map_or(Ok(400), |text| text.parse())?;
    let file = arguments.get(2).map_or("mandelbrot.png", |text| text);
    let view = View { width, height, middle: (-0.65, 0.0), step: 3.2 / f64::from(width), most: 500 };

    let sleigh = Sleigh::builder().build()?;
    let rows = sleigh.each_elem(row::with(&view), 0..height)?;

    let counts = || rows.iter().flatten();
    let pixels: Vec<u8> = counts().flat_map(|&count| colour(count, view.most)).collect();
    save(file, &view, &pixels)?;
    let never = counts().filter(|&&count| count == view.most).count();
    let steps: u64 = counts().map(|&count| u64::from(count)).sum();
    println!("{width} x {height} points, {never} of them never leave, {steps} steps");
    Ok(())
}

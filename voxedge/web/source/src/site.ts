/** What `voxedge web` writes beside the page: `site.json`. */
import type { Calibration } from "./gallery/file";

export interface Site {
  model: string; // its name, for people; the file is `model.onnx`
  digest: string; // of the model
  gallery: string | null; // the same; the file is `people.vxg`
  calibration: Calibration | null; // of the model file, where voxedge has measured it
  probe: number[]; // the embedding of one window of noise
}
